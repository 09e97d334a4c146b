import fc from 'fast-check';
import { SortedKeys } from './sorted-keys';

it('finds neighbours as a sorted array does, through splits and emptied runs', () => {
  const anyKey = fc.integer({ min: 0, max: 3_000 }).map((n) => String.fromCharCode(n >> 6, n & 63));
  fc.assert(
    fc.property(
      fc.uniqueArray(anyKey, { maxLength: 1_200 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.array(anyKey, { maxLength: 20 }),
      (keys, deletedShare, probes) => {
        const sorted = new SortedKeys();
        for (const key of keys) sorted.add(key);
        const deleted = Math.floor(keys.length * deletedShare);
        for (const key of keys.slice(0, deleted)) sorted.delete(key);
        const expected = keys.slice(deleted).sort();
        expect([...sorted]).toEqual(expected);
        for (const probe of [...probes, ...expected.slice(0, 10), '', '\uffff']) {
          expect(sorted.atOrAfter(probe)).toBe(expected.find((key) => key >= probe));
          expect(sorted.after(probe)).toBe(expected.find((key) => key > probe));
          expect(sorted.before(probe)).toBe(expected.findLast((key) => key < probe));
        }
      },
    ),
    { numRuns: 60 },
  );
});

it('takes keys in any order', () => {
  const up = Array.from({ length: 2_000 }, (_, i) => String(i).padStart(5, '0'));
  for (const keys of [up, up.toReversed()]) {
    const sorted = new SortedKeys();
    for (const key of keys) sorted.add(key);
    expect([...sorted]).toEqual(up);
  }
});
