import { createHash } from 'node:crypto';
import { crc32, type Entry } from '@synod/runtime';

/**
 * How a snapshot of the coordination store lies in a file. Version 1; numbers are big-endian:
 *
 *     "SYNODSNP"  format u32                        12 bytes
 *     block…      kind u8, size u32, crc32 u32, then `size` bytes. The CRC is of kind, size and bytes.
 *       1 header  JSON: what the snapshot is of. The first block
 *       2 records key size u32, value size u32, key, value; repeated. Keys as in `KeySpace`, without the group's prefix, in order
 *       3 end     JSON: how many records there are. The last block
 *     zeros       to a multiple of 512
 *     SHA-256     of everything before it, 32 bytes
 *
 * The total is 32 above a multiple of 512, by which `etcdctl snapshot save` knows that a file is whole.
 */
export const SNAPSHOT_MAGIC = Buffer.from('SYNODSNP');
export const SNAPSHOT_FORMAT = 1;
export const BLOCK = { header: 1, records: 2, end: 3 } as const;
export const BLOCK_HEAD_BYTES = 9;
export const ALIGNMENT = 512;
export const DIGEST_BYTES = 32;

/** What a snapshot is of. Revisions are decimal texts. */
export interface SnapshotHeader {
  /** Of Synod; for people. */
  readonly release: string;
  readonly cluster: string;
  readonly member: string;
  readonly revision: string;
  readonly compacted: string;
  /** The last instance of the log that is in it. */
  readonly instance: number;
}

export interface SnapshotEnd {
  readonly records: number;
}

/** The pieces of a snapshot file, in order. */
export async function* snapshotPieces(header: SnapshotHeader, pages: AsyncIterable<Entry[]>): AsyncGenerator<Buffer> {
  let size = 0;
  let records = 0;
  const start = Buffer.alloc(SNAPSHOT_MAGIC.length + 4);
  start.set(SNAPSHOT_MAGIC);
  start.writeUInt32BE(SNAPSHOT_FORMAT, SNAPSHOT_MAGIC.length);
  const piece = (bytes: Buffer): Buffer => {
    size += bytes.length;
    return bytes;
  };
  yield piece(Buffer.concat([start, block(BLOCK.header, json(header))]));
  for await (const page of pages) {
    records += page.length;
    yield piece(block(BLOCK.records, Buffer.concat(page.flatMap(encodeRecord))));
  }
  const end: SnapshotEnd = { records };
  yield piece(block(BLOCK.end, json(end)));
  yield Buffer.alloc((ALIGNMENT - (size % ALIGNMENT)) % ALIGNMENT);
}

/** The same, with the digest behind. */
export async function* withDigest(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const digest = createHash('sha256');
  for await (const piece of pieces) {
    digest.update(piece);
    yield piece;
  }
  yield digest.digest();
}

export function checksumOf(kind: number, payload: Buffer): number {
  return crc32(payload, crc32(blockHead(kind, payload.length).subarray(0, 5)));
}

function block(kind: number, payload: Buffer): Buffer {
  const head = blockHead(kind, payload.length);
  head.writeUInt32BE(checksumOf(kind, payload), 5);
  return Buffer.concat([head, payload]);
}

function blockHead(kind: number, size: number): Buffer {
  const head = Buffer.alloc(BLOCK_HEAD_BYTES);
  head.writeUInt8(kind, 0);
  head.writeUInt32BE(size, 1);
  return head;
}

function encodeRecord({ key, value }: Entry): Buffer[] {
  const sizes = Buffer.allocUnsafe(8);
  sizes.writeUInt32BE(key.length, 0);
  sizes.writeUInt32BE(value.length, 4);
  return [sizes, key, value];
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
