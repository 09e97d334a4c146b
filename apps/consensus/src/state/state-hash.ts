import { crc32 } from '@synod/runtime';

const GOLDEN = 0x9e3779b9;

/**
 * A 64-bit hash of a set of records, built record by record in any order, so that a record can be taken out again. Two CRCs of each
 * record, mixed, are summed in two words: CRCs alone are linear, and their sums would let errors cancel out.
 */
export class SetHash {
  private high = 0;
  private low = 0;

  add(record: RecordHash): void {
    this.high = (this.high + record.high) >>> 0;
    this.low = (this.low + record.low) >>> 0;
  }

  remove(record: RecordHash): void {
    this.high = (this.high - record.high) >>> 0;
    this.low = (this.low - record.low) >>> 0;
  }

  get value(): bigint {
    return (BigInt(this.high) << 32n) | BigInt(this.low);
  }

  /** As etcd's messages carry it. */
  get value32(): number {
    return (this.high ^ this.low) >>> 0;
  }
}

export interface RecordHash {
  readonly high: number;
  readonly low: number;
}

/** Of a record of two parts. The length of the first is hashed along: the border between them is part of the record. */
export function hashRecord(key: Buffer, value: Buffer): RecordHash {
  const low = crc32(value, crc32(key, key.length));
  const high = crc32(value, crc32(key, (low ^ GOLDEN) >>> 0));
  return { high: mix(high ^ value.length), low: mix(low) };
}

/** The finalizer of MurmurHash3 (Appleby, 2011): every bit of the input changes half of the output's. */
function mix(word: number): number {
  let hash = word;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
