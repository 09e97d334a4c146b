import { SynodError } from '@synod/runtime';

/** Builds a record field by field. Integers are big-endian; lengths and small counts are varints of seven bits a byte. */
export class ByteWriter {
  private bytes = Buffer.allocUnsafe(256);
  private length = 0;

  byte(value: number): this {
    this.grow(1);
    this.bytes[this.length++] = value;
    return this;
  }

  /** @param value 0 to 2^32 − 1 */
  varint(value: number): this {
    let rest = value;
    while (rest >= 0x80) {
      this.byte((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    return this.byte(rest);
  }

  int64(value: bigint): this {
    this.grow(8);
    this.length = this.bytes.writeBigInt64BE(value, this.length);
    return this;
  }

  /** Bytes of any length, preceded by it. */
  blob(value: Uint8Array): this {
    this.varint(value.length).grow(value.length);
    this.bytes.set(value, this.length);
    this.length += value.length;
    return this;
  }

  /** What was written so far, as a copy. */
  finish(): Buffer {
    return Buffer.from(this.bytes.subarray(0, this.length));
  }

  private grow(size: number): void {
    if (this.length + size <= this.bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(2 * this.bytes.length, this.length + size));
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
  }
}

/** Reads what `ByteWriter` wrote, in the same order. Blobs are views into the given bytes. */
export class ByteReader {
  private readonly bytes: Buffer;
  private offset = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  byte(): number {
    return this.bytes[this.advance(1)] ?? 0;
  }

  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw truncated('a length runs over five bytes');
  }

  int64(): bigint {
    return this.bytes.readBigInt64BE(this.advance(8));
  }

  blob(): Buffer {
    const length = this.varint();
    const start = this.advance(length);
    return this.bytes.subarray(start, start + length);
  }

  /** Whether everything was read: a record may have been written before its last fields existed. */
  get isAtEnd(): boolean {
    return this.offset === this.bytes.length;
  }

  /** @throws {SynodError} `corrupt` if bytes are left: a later release wrote more than this one reads */
  end(): void {
    if (this.offset !== this.bytes.length) throw truncated(`${this.bytes.length - this.offset} bytes are left over`);
  }

  private advance(size: number): number {
    const start = this.offset;
    if (start + size > this.bytes.length) throw truncated(`it ends at byte ${this.bytes.length}`);
    this.offset = start + size;
    return start;
  }
}

function truncated(detail: string): SynodError {
  return new SynodError('corrupt', `a record of the coordination store is malformed: ${detail}`);
}
