import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { crc32, SynodError } from '@synod/runtime';
import type { PairCursor } from './pairs';

/**
 * A run: pairs of one partition in order, as a sequence of blocks. Format 1 of a block, numbers big-endian:
 *
 *   kind u8 = 1 | 0 u24 | length u32 | pairs u32 | crc32 of the payload u32 | payload: `length` bytes
 *
 * and of a pair in a payload: key length varint, value length varint, key, value. A pair is never split over blocks. A run file holds
 * the runs of all partitions one after the other; where each begins is kept by whoever wrote it, as R + 1 offsets.
 */
const BLOCK_KIND = 1;
export const BLOCK_HEADER_BYTES = 16;
/** A block is closed when it is at least this long. */
const BLOCK_BYTES = 128 * 1024;

/** Writes runs, one partition after the other. */
export class RunWriter {
  private block = Buffer.allocUnsafe(BLOCK_BYTES * 2);
  private used = BLOCK_HEADER_BYTES;
  private pairsInBlock = 0;
  private written = 0;
  pairs = 0;

  private constructor(private readonly file: number) {}

  static create(path: string): RunWriter {
    return new RunWriter(openSync(path, 'wx'));
  }

  /** Bytes so far, once the block is closed: where the next partition begins. */
  endPartition(): number {
    this.closeBlock();
    return this.written;
  }

  add(key: Uint8Array, value: Uint8Array): void {
    this.makeRoom(key.length + value.length + 10);
    this.varint(key.length);
    this.varint(value.length);
    this.block.set(key, this.used);
    this.block.set(value, this.used + key.length);
    this.used += key.length + value.length;
    this.pairsInBlock++;
    if (this.used >= BLOCK_BYTES) this.closeBlock();
  }

  addAll(cursor: PairCursor): void {
    while (cursor.advance()) {
      const { bytes, keyStart, keyEnd, valueStart, valueEnd } = cursor;
      this.add(bytes.subarray(keyStart, keyEnd), bytes.subarray(valueStart, valueEnd));
    }
  }

  close(): void {
    closeSync(this.file);
  }

  private makeRoom(bytes: number): void {
    if (this.used + bytes <= this.block.length) return;
    const larger = Buffer.allocUnsafe(this.used + bytes);
    this.block.copy(larger, 0, 0, this.used);
    this.block = larger;
  }

  private varint(value: number): void {
    let rest = value;
    while (rest > 127) {
      this.block[this.used++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    this.block[this.used++] = rest;
  }

  private closeBlock(): void {
    if (this.pairsInBlock === 0) return;
    const payload = this.block.subarray(BLOCK_HEADER_BYTES, this.used);
    this.block.writeUInt32BE(BLOCK_KIND * 2 ** 24, 0);
    this.block.writeUInt32BE(payload.length, 4);
    this.block.writeUInt32BE(this.pairsInBlock, 8);
    this.block.writeUInt32BE(crc32(payload), 12);
    writeAll(this.file, this.block.subarray(0, this.used));
    this.written += this.used;
    this.pairs += this.pairsInBlock;
    this.pairsInBlock = 0;
    this.used = BLOCK_HEADER_BYTES;
  }
}

export function writeAll(file: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += writeSync(file, bytes, done);
}

interface BlockHeader {
  readonly length: number;
  readonly pairs: number;
  readonly crc: number;
}

function blockHeader(bytes: Buffer, offset: number, where: string): BlockHeader {
  const kind = bytes[offset];
  if (kind !== BLOCK_KIND) throw new SynodError('corrupt', `${where}: a block of unknown kind ${String(kind)}`);
  return {
    length: bytes.readUInt32BE(offset + 4),
    pairs: bytes.readUInt32BE(offset + 8),
    crc: bytes.readUInt32BE(offset + 12),
  };
}

/**
 * Checks every block of a run in memory.
 * @throws {SynodError} `corrupt`, naming `where` and the byte, unless it is made of whole, undamaged blocks
 */
export function checkRun(bytes: Buffer, where: string): void {
  for (let at = 0; at < bytes.length;) {
    if (bytes.length - at < BLOCK_HEADER_BYTES)
      throw new SynodError('corrupt', `${where}: a block is cut off at byte ${at}`);
    const { length, crc } = blockHeader(bytes, at, where);
    const start = at + BLOCK_HEADER_BYTES;
    if (bytes.length - start < length) throw new SynodError('corrupt', `${where}: a block is cut off at byte ${at}`);
    if (crc32(bytes.subarray(start, start + length)) !== crc) {
      throw new SynodError('corrupt', `${where}: the checksum of the block at byte ${at} does not match`);
    }
    at = start + length;
  }
}

/** A run that was checked and lies in memory. */
export function memoryRun(bytes: Buffer): PairCursor {
  let at = 0;
  return new RunCursor(() => {
    if (at === bytes.length) return undefined;
    const start = at + BLOCK_HEADER_BYTES;
    at = start + bytes.readUInt32BE(at + 4);
    return bytes.subarray(start, at);
  });
}

/** `[start, end)` of an open run file, read block by block and checked. */
export function fileRun(file: number, name: string, start: number, end: number): PairCursor {
  const header = Buffer.allocUnsafe(BLOCK_HEADER_BYTES);
  let at = start;
  return new RunCursor(() => {
    if (at >= end) return undefined;
    readExactly(file, header, at, name);
    const { length, crc } = blockHeader(header, 0, name);
    const payload = Buffer.allocUnsafe(length);
    readExactly(file, payload, at + BLOCK_HEADER_BYTES, name);
    if (crc32(payload) !== crc) {
      throw new SynodError('corrupt', `${name}: the checksum of the block at byte ${at} does not match`);
    }
    at += BLOCK_HEADER_BYTES + length;
    return payload;
  });
}

function readExactly(file: number, into: Buffer, offset: number, name: string): void {
  for (let done = 0; done < into.length;) {
    const count = readSync(file, into, done, into.length - done, offset + done);
    if (count === 0) throw new SynodError('corrupt', `${name}: the file ends at byte ${offset + done}, inside a block`);
    done += count;
  }
}

/** Walks the pairs of one block after the other. */
class RunCursor implements PairCursor {
  bytes: Buffer = Buffer.alloc(0);
  keyStart = 0;
  keyEnd = 0;
  valueStart = 0;
  valueEnd = 0;

  constructor(private readonly nextBlock: () => Buffer | undefined) {}

  advance(): boolean {
    let at = this.valueEnd;
    if (at === this.bytes.length) {
      const block = this.nextBlock();
      if (block === undefined) return false;
      this.bytes = block;
      at = 0;
    }
    let keyLength = 0;
    let valueLength = 0;
    let byte = 0;
    for (let shift = 0; shift === 0 || byte > 127; shift += 7) {
      byte = this.bytes[at++] as number;
      keyLength |= (byte & 127) << shift;
    }
    for (let shift = 0; shift === 0 || byte > 127; shift += 7) {
      byte = this.bytes[at++] as number;
      valueLength |= (byte & 127) << shift;
    }
    this.keyStart = at;
    this.keyEnd = this.valueStart = at + keyLength;
    this.valueEnd = this.valueStart + valueLength;
    return true;
  }
}
