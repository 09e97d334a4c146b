/**
 * MurmurHash3, the 32-bit variant for x86 (Appleby, "SMHasher", MurmurHash3_x86_32). Not cryptographic: whoever chooses keys can make
 * them collide, which costs balance and never correctness.
 * @param bytes of any length
 * @param seed an unsigned 32-bit integer
 * @returns an unsigned 32-bit integer, the same on every machine
 */
export function murmur3(bytes: Uint8Array, seed: number): number {
  const tailStart = bytes.length & ~3;
  let hash = seed | 0;
  for (let index = 0; index < tailStart; index += 4) {
    hash ^= scramble(wordAt(bytes, index, 4));
    hash = (hash << 13) | (hash >>> 19);
    hash = (Math.imul(hash, 5) + 0xe6546b64) | 0;
  }
  if (tailStart < bytes.length) hash ^= scramble(wordAt(bytes, tailStart, bytes.length - tailStart));
  return finalize(hash ^ bytes.length);
}

/** Up to four bytes, little-endian. */
function wordAt(bytes: Uint8Array, start: number, length: number): number {
  let word = 0;
  for (let index = 0; index < length; index++) word |= (bytes[start + index] ?? 0) << (8 * index);
  return word;
}

function scramble(word: number): number {
  const mixed = Math.imul(word, 0xcc9e2d51);
  return Math.imul((mixed << 15) | (mixed >>> 17), 0x1b873593);
}

/** Every bit of the input flips each bit of the output with probability one half. */
function finalize(hash: number): number {
  let mixed = hash ^ (hash >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
