/**
 * The hash that spreads keys over partitions: 32-bit FNV-1a, then the finalizer of MurmurHash3 so that every input bit reaches the
 * low bits. Part of what a job promises: the same key goes to the same `part-` file on every machine and in every release.
 * @returns an unsigned 32-bit integer
 */
export function hashKey(bytes: Uint8Array, start = 0, end = bytes.length): number {
  let hash = 0x811c9dc5;
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ (bytes[at] as number), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** "hash(key) mod R" (Dean & Ghemawat, §3.1). */
export function partitionOf(hash: number, partitions: number): number {
  return hash % partitions;
}
