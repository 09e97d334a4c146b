import { crc32 as crc32OfNode } from 'node:zlib';

/**
 * CRC-32 of bytes that continue others.
 * @param before the checksum of those before. Node 20's own function answers either that or 0 for no bytes at all, by where in memory the
 *   nothing lies: then two processes would not agree on the checksum of the same
 */
export function crc32(bytes: Uint8Array, before = 0): number {
  return bytes.length === 0 ? before : crc32OfNode(bytes, before);
}
