import fc from 'fast-check';
import { compareBytes, STORE_KEY_BYTES_MAX } from '@synod/runtime';
import { decodeKey, mvccKey, startOf, timestampOf, TIMESTAMP_MAX, versionsEnd, versionsStart } from './index';

const PREFIX = Buffer.from([0x02, 0x00, 0x07]);
/** Keys that meet at group ends and differ by the bytes that padding and markers use. */
const anyKey = fc
  .array(fc.oneof(fc.constantFrom(0, 1, 0xf7, 0xf8, 0xfe, 0xff), fc.nat(255)), { maxLength: 26 })
  .map((bytes) => Buffer.from(bytes));
const anyTimestamp = fc.oneof(fc.bigInt(0n, 20n), fc.bigInt(0n, TIMESTAMP_MAX));

it('keeps byte order for arbitrary keys, and newest first within a key', () => {
  fc.assert(
    fc.property(anyKey, anyTimestamp, anyKey, anyTimestamp, (a, ta, b, tb) => {
      const expected = compareBytes(a, b) || Number(tb > ta) - Number(tb < ta);
      expect(Math.sign(compareBytes(mvccKey(PREFIX, a, ta), mvccKey(PREFIX, b, tb)))).toBe(expected);
    }),
    { numRuns: 2_000 },
  );
});

it('gives back the key and the timestamp', () => {
  fc.assert(
    fc.property(anyKey, anyTimestamp, (key, timestamp) => {
      const stored = mvccKey(PREFIX, key, timestamp);
      expect(decodeKey(stored, PREFIX.length)).toEqual(key);
      expect(decodeKey(startOf(stored), PREFIX.length)).toEqual(key);
      expect(timestampOf(stored)).toBe(timestamp);
      expect(startOf(stored)).toEqual(versionsStart(PREFIX, key));
    }),
  );
});

it('holds the versions of a key, and no others, between their start and end', () => {
  fc.assert(
    fc.property(anyKey, anyKey, anyTimestamp, (key, other, timestamp) => {
      const start = versionsStart(PREFIX, key);
      const stored = mvccKey(PREFIX, other, timestamp);
      const isInside = compareBytes(stored, start) >= 0 && compareBytes(stored, versionsEnd(start)) < 0;
      expect(isInside).toBe(key.equals(other));
    }),
    { numRuns: 2_000 },
  );
});

// Part of the disk format: these bytes may not change.
it.each([
  ['', '', '0000000000000000f7'],
  ['01', '61', '6100000000000000f8'],
  ['', '6162636465666768', '6162636465666768ff0000000000000000f7'],
  ['0203', '616263646566676869', '6162636465666768ff6900000000000000f8'],
])('encodes prefix %s and key %s as it always did', (prefix, key, encoded) => {
  const stored = mvccKey(Buffer.from(prefix, 'hex'), Buffer.from(key, 'hex'), 1n);
  expect(stored.toString('hex')).toBe(`${prefix}${encoded}fffffffffffffffe`);
});

it('fits the largest user key into a key of the store', () => {
  const stored = mvccKey(PREFIX, Buffer.alloc(1_024, 0xff), 0n);
  expect(stored).toHaveLength(3 + 1_161 + 8);
  expect(stored.length).toBeLessThanOrEqual(STORE_KEY_BYTES_MAX);
});
