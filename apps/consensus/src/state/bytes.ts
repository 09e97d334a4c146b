import { SynodError } from '@synod/runtime';

/** Room for a record in the making. */
interface Scratch {
  readonly bytes: Buffer;
  readonly view: DataView;
  /** Its first bytes, by how many they are: making a view takes longer than copying a record. */
  readonly lent: Buffer[];
}

const SCRATCH_BYTES = 4_096;
/** A larger one is not kept for the next record. */
const SCRATCH_BYTES_MAX = 1 << 20;

/** That of the last record finished, for the next: records are made one after the other, thousands a second. */
let spare: Scratch | undefined;

/** Builds a record field by field. Integers are big-endian; lengths and small counts are varints of seven bits a byte. */
export class ByteWriter {
  private scratch = spare ?? scratchOf(SCRATCH_BYTES);
  private length = 0;

  constructor() {
    spare = undefined;
  }

  byte(value: number): this {
    this.grow(1);
    this.scratch.bytes[this.length++] = value;
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
    this.scratch.view.setBigInt64(this.length, value);
    this.length += 8;
    return this;
  }

  /** Bytes of any length, preceded by it. */
  blob(value: Uint8Array): this {
    this.varint(value.length).grow(value.length);
    this.scratch.bytes.set(value, this.length);
    this.length += value.length;
    return this;
  }

  /** What was written. Nothing may be written after it. */
  finish(): Buffer {
    const { bytes } = this.scratch;
    const record = Buffer.allocUnsafe(this.length);
    bytes.copy(record, 0, 0, this.length);
    if (bytes.length <= SCRATCH_BYTES_MAX) spare = this.scratch;
    this.scratch = NO_ROOM;
    return record;
  }

  /**
   * What was written, for whoever copies it at once, as a store does: the bytes are those of the next record as soon as one is begun. Nothing
   * may be written after it.
   */
  lend(): Buffer {
    const { bytes, lent } = this.scratch;
    if (bytes.length <= SCRATCH_BYTES_MAX) spare = this.scratch;
    this.scratch = NO_ROOM;
    if (this.length > SCRATCH_BYTES) return bytes.subarray(0, this.length);
    return (lent[this.length] ??= bytes.subarray(0, this.length));
  }

  private grow(size: number): void {
    const { bytes } = this.scratch;
    if (this.length + size <= bytes.length) return;
    if (this.scratch === NO_ROOM) throw new Error('the record is finished');
    const larger = scratchOf(Math.max(2 * bytes.length, this.length + size));
    larger.bytes.set(bytes.subarray(0, this.length));
    this.scratch = larger;
  }
}

function scratchOf(size: number): Scratch {
  const bytes = Buffer.allocUnsafeSlow(size);
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, size), lent: [] };
}

const NO_ROOM = scratchOf(0);

/** Reads what `ByteWriter` wrote, in the same order. Blobs are views into the given bytes. */
export class ByteReader {
  private readonly bytes: Buffer;
  private offset = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
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
    const { bytes } = this;
    const start = this.advance(8);
    const high = bytes.readInt32BE(start);
    const low = BigInt(bytes.readUInt32BE(start + 4));
    // Nearly always, and each step in big integers makes another one.
    return high === 0 ? low : (BigInt(high) << 32n) | low;
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
