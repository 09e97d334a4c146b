import { SynodError } from '@synod/runtime';

/** Builds a record: big-endian integers, and byte strings after their length. The same values always give the same bytes. */
export class ByteWriter {
  private buffer = Buffer.allocUnsafe(256);
  private length = 0;

  u8(value: number): this {
    this.grow(1);
    this.length = this.buffer.writeUInt8(value, this.length);
    return this;
  }

  u16(value: number): this {
    this.grow(2);
    this.length = this.buffer.writeUInt16BE(value, this.length);
    return this;
  }

  u32(value: number): this {
    this.grow(4);
    this.length = this.buffer.writeUInt32BE(value, this.length);
    return this;
  }

  u64(value: bigint): this {
    this.grow(8);
    this.length = this.buffer.writeBigUInt64BE(value, this.length);
    return this;
  }

  /** Without a length: the reader knows it. */
  raw(bytes: Uint8Array): this {
    this.grow(bytes.length);
    this.buffer.set(bytes, this.length);
    this.length += bytes.length;
    return this;
  }

  bytes(bytes: Uint8Array): this {
    return this.u32(bytes.length).raw(bytes);
  }

  finish(): Buffer {
    return this.buffer.subarray(0, this.length);
  }

  private grow(by: number): void {
    const needed = this.length + by;
    if (needed <= this.buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, this.buffer.length * 2));
    this.buffer.copy(larger, 0, 0, this.length);
    this.buffer = larger;
  }
}

/** Takes a record apart; byte strings are views of it, not copies. */
export class ByteReader {
  private readonly buffer: Buffer;
  private position = 0;

  /** @param what the record is, for the message of the error */
  constructor(
    bytes: Uint8Array,
    private readonly what: string,
  ) {
    this.buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u8(): number {
    return this.buffer.readUInt8(this.advance(1));
  }

  u16(): number {
    return this.buffer.readUInt16BE(this.advance(2));
  }

  u32(): number {
    return this.buffer.readUInt32BE(this.advance(4));
  }

  u64(): bigint {
    return this.buffer.readBigUInt64BE(this.advance(8));
  }

  raw(length: number): Buffer {
    const start = this.advance(length);
    return this.buffer.subarray(start, start + length);
  }

  bytes(): Buffer {
    return this.raw(this.u32());
  }

  /** The rest of the record. */
  rest(): Buffer {
    return this.raw(this.buffer.length - this.position);
  }

  /** @throws {SynodError} `corrupt` if anything is left */
  end(): void {
    if (this.position !== this.buffer.length) throw this.damaged();
  }

  private advance(by: number): number {
    const start = this.position;
    if (start + by > this.buffer.length) throw this.damaged();
    this.position = start + by;
    return start;
  }

  private damaged(): SynodError {
    return new SynodError('corrupt', `a ${this.what} of ${this.buffer.length} bytes is damaged or of a later release`);
  }
}
