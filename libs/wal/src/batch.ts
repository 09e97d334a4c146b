import { crc32 } from '@synod/runtime';
import { recordBytes, writeRecord, type WalRecord } from './record';

/**
 * What one write and one sync put on disk: a header, then records. Layout of the header, big-endian:
 *
 * | at | size | |
 * | --- | --- | --- |
 * | 0 | 4 | magic |
 * | 4 | 4 | crc32 of all that follows, begun with the segment's number and the batch's offset |
 * | 8 | 4 | size of the records |
 * | 12 | 6 | sequence: one more than the batch before, across segments |
 * | 18 | 6 | offset in this segment up to which everything was synced before this batch was written |
 *
 * Place goes into the checksum so that a copy of a batch inside some record's payload never passes for a batch.
 */
export const BATCH_HEADER_BYTES = 24;
export const BATCH_MAGIC = Buffer.from('SBt1');

/** Where a batch stands: part of its checksum. */
export interface Place {
  readonly segment: number;
  readonly offset: number;
}

export interface BatchHeader {
  readonly sequence: number;
  readonly syncedOffset: number;
}

export interface Batch extends BatchHeader {
  /** Of the records alone. */
  readonly body: Buffer;
  /** Of header and records. */
  readonly size: number;
}

/** Above this, a builder's buffer is given back once its batch is written. */
const KEPT_BYTES_MAX = 8 << 20;
const FIRST_BYTES = 64 << 10;

/** Gathers records in one buffer, which it uses again for the next batch: each payload is copied once, here. */
export class BatchBuilder {
  private buffer = Buffer.allocUnsafe(FIRST_BYTES);
  private end = BATCH_HEADER_BYTES;

  get isEmpty(): boolean {
    return this.end === BATCH_HEADER_BYTES;
  }

  /** Of header and records. */
  get size(): number {
    return this.end;
  }

  get contentBytes(): number {
    return this.end - BATCH_HEADER_BYTES;
  }

  /** All of the records or, if one of them is refused, none. */
  add(records: readonly WalRecord[]): void {
    let bytes = 0;
    for (const record of records) bytes += recordBytes(record);
    this.reserve(bytes);
    for (const record of records) this.end = writeRecord(record, this.buffer, this.end);
  }

  /** Completes the header. The bytes are the builder's own, valid until `reset`. */
  seal(place: Place, header: BatchHeader): Buffer {
    return sealed(this.buffer.subarray(0, this.end), place, header);
  }

  reset(): void {
    this.end = BATCH_HEADER_BYTES;
    if (this.buffer.length > KEPT_BYTES_MAX) this.buffer = Buffer.allocUnsafe(FIRST_BYTES);
  }

  private reserve(bytes: number): void {
    const needed = this.end + bytes;
    if (needed <= this.buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, this.buffer.length * 2));
    larger.set(this.buffer.subarray(0, this.end));
    this.buffer = larger;
  }
}

/** A batch of records that were in one before, at a place of its own. */
export function batchOf(body: Buffer, place: Place, header: BatchHeader): Buffer {
  return sealed(Buffer.concat([Buffer.alloc(BATCH_HEADER_BYTES), body]), place, header);
}

/** The size a batch claims to have; undefined if what is here does not even begin like one. */
export function claimedSize(header: Buffer): number | undefined {
  if (header.length < BATCH_HEADER_BYTES || header.compare(BATCH_MAGIC, 0, 4, 0, 4) !== 0) return undefined;
  return BATCH_HEADER_BYTES + header.readUInt32BE(8);
}

/** The batch in `bytes`, which are as long as it claims to be; undefined if the checksum does not hold for this place. */
export function parseBatch(bytes: Buffer, place: Place): Batch | undefined {
  if (bytes.readUInt32BE(4) !== checksum(bytes, place)) return undefined;
  return {
    sequence: bytes.readUIntBE(12, 6),
    syncedOffset: bytes.readUIntBE(18, 6),
    body: bytes.subarray(BATCH_HEADER_BYTES),
    size: bytes.length,
  };
}

/** @param bytes records, with room for the header before them */
function sealed(bytes: Buffer, place: Place, { sequence, syncedOffset }: BatchHeader): Buffer {
  bytes.set(BATCH_MAGIC, 0);
  bytes.writeUInt32BE(bytes.length - BATCH_HEADER_BYTES, 8);
  bytes.writeUIntBE(sequence, 12, 6);
  bytes.writeUIntBE(syncedOffset, 18, 6);
  bytes.writeUInt32BE(checksum(bytes, place), 4);
  return bytes;
}

function checksum(bytes: Buffer, { segment, offset }: Place): number {
  const place = Buffer.allocUnsafe(12);
  place.writeUIntBE(segment, 0, 6);
  place.writeUIntBE(offset, 6, 6);
  return crc32(bytes.subarray(8), crc32(place));
}
