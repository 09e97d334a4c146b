import fc from 'fast-check';
import { hashTag, isShardCount, shardOf, shardOfSlot, SLOT_COUNT, SLOT_HASH, slotOf, slotsOf } from './slot';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

// The disk and client contract. If one of these changes, existing data cannot be found any more.
it.each([
  ['', 0],
  ['a', 0x3c2569b2 % 16_384],
  ['abc', 0xb3dd93fa % 16_384],
  ['{abc}', 0xb3dd93fa % 16_384],
  ['account/{abc}/balance', 0xb3dd93fa % 16_384],
])('keeps %j in slot %i', (key, slot) => {
  expect(slotOf(Buffer.from(key))).toBe(slot);
});

it('says in one string what the slot of a key depends on', () => {
  expect(SLOT_HASH).toBe('murmur3-x86-32/seed=0/tag={}/slots=16384');
});

// The examples of the Redis Cluster specification, "Hash tags".
it.each([
  ['{user1000}.following', 'user1000'],
  ['foo{}{bar}', 'foo{}{bar}'],
  ['foo{{bar}}zap', '{bar'],
  ['foo{bar}{zap}', 'bar'],
  ['}{', '}{'],
  ['{', '{'],
  ['no tag', 'no tag'],
])('hashes of %j only %j', (key, tag) => {
  expect(text(hashTag(Buffer.from(key)))).toBe(tag);
});

it('cuts all slots into equal runs, whatever the shard count', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 14 }), fc.integer({ min: 0, max: SLOT_COUNT - 1 }), (exponent, slot) => {
      const count = 2 ** exponent;
      const shard = shardOfSlot(slot, count);
      const { first, end } = slotsOf(shard, count);
      expect(shard).toBeLessThan(count);
      expect(first <= slot && slot < end).toBe(true);
      expect(end - first).toBe(SLOT_COUNT / count);
    }),
  );
});

it('spreads keys evenly', () => {
  const counts = new Array<number>(64).fill(0);
  for (let index = 0; index < 64_000; index++) {
    const shard = shardOf(Buffer.from(`account/${index}`), 64);
    counts[shard] = (counts[shard] ?? 0) + 1;
  }
  expect(Math.max(...counts)).toBeLessThan(1_150);
  expect(Math.min(...counts)).toBeGreaterThan(850);
});

it('accepts powers of two only', () => {
  expect([1, 2, 64, 16_384].every(isShardCount)).toBe(true);
  expect([0, -1, 3, 1.5, 32_768, NaN].some(isShardCount)).toBe(false);
  expect(() => shardOf(Buffer.from('a'), 3)).toThrow('shard-count-is-a-power-of-two');
});
