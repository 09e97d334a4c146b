import { invariant } from '@synod/invariant';
import { murmur3 } from './murmur3';

/** Hash buckets; a shard is a fixed run of them. */
export const SLOT_COUNT = 16_384;

const SLOT_SEED = 0;

/**
 * Names everything that decides a key's slot: function, seed, tag rule, slot count. It is written into the cluster's metadata at its
 * founding; a node or client with another one would look for keys in the wrong shards and must refuse.
 */
export const SLOT_HASH = 'murmur3-x86-32/seed=0/tag={}/slots=16384';

const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/**
 * The bucket of a key, `hash(key or its tag) mod 16384`.
 * @param key raw bytes of any length
 * @returns 0 to 16,383, for ever the same: data on disk depends on it
 */
export function slotOf(key: Uint8Array): number {
  return murmur3(hashTag(key), SLOT_SEED) % SLOT_COUNT;
}

/**
 * The part of a key that is hashed: what stands between the first `{` and the next `}`, if that is not empty, else the whole key
 * (the rule of Redis Cluster). Keys with one tag share a slot, so a transaction over them stays in one shard.
 */
export function hashTag(key: Uint8Array): Uint8Array {
  const open = key.indexOf(OPEN_BRACE);
  if (open < 0) return key;
  const close = key.indexOf(CLOSE_BRACE, open + 1);
  return close <= open + 1 ? key : key.subarray(open + 1, close);
}

/**
 * The shard of a key. Invariant `key-keeps-its-shard`: it depends on the key and on the shard count of the cluster, never on which
 * nodes exist.
 * @param shardCount a power of two up to 16,384, fixed when the cluster was founded
 */
export function shardOf(key: Uint8Array, shardCount: number): number {
  return shardOfSlot(slotOf(key), shardCount);
}

/** Shards are equal runs of neighbouring slots. */
export function shardOfSlot(slot: number, shardCount: number): number {
  invariant(isShardCount(shardCount), 'shard-count-is-a-power-of-two', () => String(shardCount));
  return slot >> Math.log2(SLOT_COUNT / shardCount);
}

/** The slots of a shard, `[first, end)`. */
export function slotsOf(shard: number, shardCount: number): { readonly first: number; readonly end: number } {
  invariant(isShardCount(shardCount), 'shard-count-is-a-power-of-two', () => String(shardCount));
  const size = SLOT_COUNT / shardCount;
  return { first: shard * size, end: (shard + 1) * size };
}

/** True for 1, 2, 4 … 16,384. */
export function isShardCount(count: number): boolean {
  return Number.isInteger(count) && count >= 1 && count <= SLOT_COUNT && SLOT_COUNT % count === 0;
}
