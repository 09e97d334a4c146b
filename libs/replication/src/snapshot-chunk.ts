import { crc32, prefixEnd, successor, type Entry, type StoreReader } from '@synod/runtime';
import type { SnapshotChunk, SnapshotDescriptor } from './snapshot-messages';

/** Keys and values of a chunk, about: a few milliseconds of the event loop at either end. One larger entry makes a larger chunk. */
const CHUNK_BYTES = 256 << 10;

/** The entries below `prefix` that come after a key of it, as many as make a chunk. */
export function readChunk(
  view: StoreReader,
  prefix: Buffer,
  snapshot: SnapshotDescriptor,
  after: Buffer,
): SnapshotChunk {
  const start = after.length === 0 ? prefix : successor(Buffer.concat([prefix, after]));
  const end = prefixEnd(prefix) ?? Buffer.from([0xff]);
  const entries: Entry[] = [];
  let bytes = 0;
  let last = true;
  for (const { key, value } of view.range({ start, end })) {
    if (bytes >= CHUNK_BYTES) {
      last = false;
      break;
    }
    entries.push({ key: key.subarray(prefix.length), value });
    bytes += key.length + value.length;
  }
  return { kind: 'chunk', snapshot, after, entries, checksum: chunkChecksum(after, entries), last };
}

/** Over sizes too, so that no byte can move from a key to its value. */
export function chunkChecksum(after: Buffer, entries: readonly Entry[]): number {
  const size = Buffer.allocUnsafe(4);
  let checksum = 0;
  const add = (bytes: Buffer): void => {
    size.writeUInt32BE(bytes.length);
    checksum = crc32(size, checksum);
    checksum = crc32(bytes, checksum);
  };
  add(after);
  for (const { key, value } of entries) {
    add(key);
    add(value);
  }
  return checksum;
}
