import fc from 'fast-check';
import { compareBytes, prefixEnd, successor } from './byte-order';

const anyBytes = fc.uint8Array({ maxLength: 6 });
const startsWith = (key: Uint8Array, prefix: Uint8Array): boolean =>
  compareBytes(key.subarray(0, prefix.length), prefix) === 0;

it('orders bytes unsigned, and a key before those that it begins', () => {
  expect(compareBytes(Buffer.from([0x7f]), Buffer.from([0x80]))).toBeLessThan(0);
  expect(compareBytes(Buffer.from([1]), Buffer.from([1, 0]))).toBeLessThan(0);
  expect(compareBytes(Buffer.from([1, 0]), Buffer.from([1, 0]))).toBe(0);
});

it('leaves no key between a key and its successor', () => {
  fc.assert(
    fc.property(anyBytes, anyBytes, (key, other) => {
      const isAfter = compareBytes(other, key) > 0;
      expect(compareBytes(other, successor(key)) >= 0).toBe(isAfter);
    }),
  );
});

it('ends a prefix just after the keys that begin with it', () => {
  fc.assert(
    fc.property(anyBytes, anyBytes, (prefix, key) => {
      const end = prefixEnd(prefix);
      const inside = compareBytes(key, prefix) >= 0 && (end === undefined || compareBytes(key, end) < 0);
      expect(inside).toBe(startsWith(key, prefix));
    }),
  );
  expect(prefixEnd(Buffer.from([1, 0xff, 0xff]))).toEqual(Buffer.from([2]));
  expect(prefixEnd(Buffer.from([0xff]))).toBeUndefined();
});
