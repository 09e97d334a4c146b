import { hashKey, partitionOf } from '@synod/mapreduce';
import type { PairCursor } from './pairs';
import { compareSlices, sameBytes } from './slices';

/**
 * What the buffer does with pairs that are alike: `count` keeps one per key and adds up (values are 8-byte counts), `distinct` keeps
 * one of each pair, `all` keeps every pair.
 */
export type Folding = 'count' | 'distinct' | 'all';

const COUNT_BYTES = 8;
/** Pairs without bytes would never fill the arena; this bounds what is kept beside it, some 24 bytes a pair. */
const PAIRS_MAX = 1 << 20;
const EMPTY = Buffer.alloc(0);

/**
 * Emitted pairs in memory, until they are sorted and written. Their bytes lie in one arena and their positions in typed arrays: no
 * object per pair. Folding goes by a hash table keyed on bytes.
 */
export class PairBuffer {
  private arena: Buffer;
  private used = 0;
  private count = 0;
  private offsets = new Uint32Array(1024);
  private keyLengths = new Uint32Array(1024);
  private valueLengths = new Uint32Array(1024);
  private hashes = new Uint32Array(1024);
  private counts: Float64Array;
  /** Open addressing, 1 + index of the pair; at most half full. */
  private table: Int32Array;

  constructor(
    private readonly partitions: number,
    private readonly folding: Folding,
    arenaBytes: number,
  ) {
    this.arena = Buffer.allocUnsafe(arenaBytes);
    this.table = new Int32Array(folding === 'all' ? 0 : 4096);
    this.counts = new Float64Array(folding === 'count' ? 1024 : 0);
  }

  get size(): number {
    return this.count;
  }

  /**
   * Copies `[keyStart, keyEnd)` of `keyBytes` and the value.
   * @returns false if there is no room: the buffer must be emptied first
   */
  add(keyBytes: Uint8Array, keyStart: number, keyEnd: number, value: Uint8Array): boolean {
    const hash = hashKey(keyBytes, keyStart, keyEnd);
    const slot = this.folding === 'all' ? -1 : this.find(hash, keyBytes, keyStart, keyEnd, value);
    if (slot >= 0 && (this.table[slot] as number) > 0) return true;
    return this.append(slot, hash, keyBytes, keyStart, keyEnd, value);
  }

  /** Adds to the count of a key; `count` buffers only. @returns as `add` */
  addCount(keyBytes: Uint8Array, keyStart: number, keyEnd: number, count: number): boolean {
    const hash = hashKey(keyBytes, keyStart, keyEnd);
    const slot = this.find(hash, keyBytes, keyStart, keyEnd, EMPTY);
    const known = (this.table[slot] as number) - 1;
    if (known >= 0) {
      this.counts[known] = (this.counts[known] as number) + count;
      return true;
    }
    const index = this.count;
    if (!this.append(slot, hash, keyBytes, keyStart, keyEnd, EMPTY)) return false;
    this.counts[index] = count;
    return true;
  }

  clear(): void {
    this.used = 0;
    this.count = 0;
    this.table.fill(0);
  }

  /** For each partition a cursor over its pairs, sorted. Valid until the buffer changes. */
  sorted(): PairCursor[] {
    const starts = this.partitionStarts();
    const order = this.byPartition(starts);
    const prefixes = this.prefixes();
    const compare = (a: number, b: number): number =>
      (prefixes[a] as number) - (prefixes[b] as number) || this.compare(a, b);
    return Array.from({ length: this.partitions }, (_, partition) => {
      const pairs = order.subarray(starts[partition], starts[partition + 1]).sort(compare);
      return new SortedPairs(this.arena, pairs, (index, into) => this.locate(index, into));
    });
  }

  private append(
    slot: number,
    hash: number,
    keyBytes: Uint8Array,
    keyStart: number,
    keyEnd: number,
    value: Uint8Array,
  ): boolean {
    const keyLength = keyEnd - keyStart;
    const valueLength = this.folding === 'count' ? COUNT_BYTES : value.length;
    if (!this.makeRoom(keyLength + valueLength)) return false;
    const index = this.count++;
    this.offsets[index] = this.used;
    this.keyLengths[index] = keyLength;
    this.valueLengths[index] = valueLength;
    this.hashes[index] = hash;
    for (let at = 0; at < keyLength; at++) this.arena[this.used + at] = keyBytes[keyStart + at] as number;
    this.arena.set(value, this.used + keyLength);
    this.used += keyLength + valueLength;
    if (slot >= 0) {
      this.table[slot] = index + 1;
      if (this.count * 2 > this.table.length) this.growTable();
    }
    return true;
  }

  private makeRoom(bytes: number): boolean {
    if (this.count === PAIRS_MAX) return false;
    if (this.used + bytes > this.arena.length) {
      if (this.count > 0) return false;
      this.arena = Buffer.allocUnsafe(bytes); // One pair larger than the whole buffer has to go through all the same.
    }
    if (this.count === this.offsets.length) {
      this.offsets = doubled(this.offsets);
      this.keyLengths = doubled(this.keyLengths);
      this.valueLengths = doubled(this.valueLengths);
      this.hashes = doubled(this.hashes);
      if (this.folding === 'count') {
        const values = new Float64Array(this.count * 2);
        values.set(this.counts);
        this.counts = values;
      }
    }
    return true;
  }

  /** The slot of an equal pair, or the empty one where it belongs. */
  private find(hash: number, keyBytes: Uint8Array, keyStart: number, keyEnd: number, value: Uint8Array): number {
    const mask = this.table.length - 1;
    const keyLength = keyEnd - keyStart;
    // Pairs of one key have one hash: without the value in it, the documents of a common word would fill one long chain.
    let slot = (this.folding === 'distinct' ? hash ^ hashKey(value) : hash) & mask;
    for (;;) {
      const index = (this.table[slot] as number) - 1;
      if (index < 0) return slot;
      if (this.hashes[index] === hash && this.keyLengths[index] === keyLength) {
        const offset = this.offsets[index] as number;
        const sameKey = sameBytes(this.arena, offset, keyBytes, keyStart, keyLength);
        if (sameKey && (this.folding === 'count' || this.hasValue(index, value))) return slot;
      }
      slot = (slot + 1) & mask;
    }
  }

  private hasValue(index: number, value: Uint8Array): boolean {
    const start = (this.offsets[index] as number) + (this.keyLengths[index] as number);
    return this.valueLengths[index] === value.length && sameBytes(this.arena, start, value, 0, value.length);
  }

  private growTable(): void {
    this.table = new Int32Array(this.table.length * 4);
    const mask = this.table.length - 1;
    for (let index = 0; index < this.count; index++) {
      let slot = this.tableHash(index) & mask;
      while ((this.table[slot] as number) > 0) slot = (slot + 1) & mask;
      this.table[slot] = index + 1;
    }
  }

  private tableHash(index: number): number {
    const hash = this.hashes[index] as number;
    if (this.folding !== 'distinct') return hash;
    const start = (this.offsets[index] as number) + (this.keyLengths[index] as number);
    return hash ^ hashKey(this.arena, start, start + (this.valueLengths[index] as number));
  }

  /** Where each partition begins in an order by partition; one more for the end. */
  private partitionStarts(): Uint32Array {
    const starts = new Uint32Array(this.partitions + 1);
    for (let index = 0; index < this.count; index++) {
      const after = partitionOf(this.hashes[index] as number, this.partitions) + 1;
      starts[after] = (starts[after] as number) + 1;
    }
    for (let partition = 0; partition < this.partitions; partition++) {
      starts[partition + 1] = (starts[partition + 1] as number) + (starts[partition] as number);
    }
    return starts;
  }

  private byPartition(starts: Uint32Array): Uint32Array {
    const next = starts.slice();
    const order = new Uint32Array(this.count);
    for (let index = 0; index < this.count; index++) {
      const partition = partitionOf(this.hashes[index] as number, this.partitions);
      order[next[partition] as number] = index;
      next[partition] = (next[partition] as number) + 1;
    }
    return order;
  }

  /** The first four bytes of each key as a number that sorts like them: most comparisons end there. */
  private prefixes(): Uint32Array {
    const prefixes = new Uint32Array(this.count);
    for (let index = 0; index < this.count; index++) {
      const offset = this.offsets[index] as number;
      const length = Math.min(4, this.keyLengths[index] as number);
      let prefix = 0;
      for (let at = 0; at < 4; at++) prefix = prefix * 256 + (at < length ? (this.arena[offset + at] as number) : 0);
      prefixes[index] = prefix;
    }
    return prefixes;
  }

  private compare(a: number, b: number): number {
    const aKey = this.offsets[a] as number;
    const bKey = this.offsets[b] as number;
    const aValue = aKey + (this.keyLengths[a] as number);
    const bValue = bKey + (this.keyLengths[b] as number);
    const keys = compareSlices(this.arena, aKey, aValue, this.arena, bKey, bValue);
    if (keys !== 0 || this.folding === 'count') return keys;
    const aEnd = aValue + (this.valueLengths[a] as number);
    return compareSlices(this.arena, aValue, aEnd, this.arena, bValue, bValue + (this.valueLengths[b] as number));
  }

  private locate(index: number, into: PairPosition): void {
    into.keyStart = this.offsets[index] as number;
    into.keyEnd = into.keyStart + (this.keyLengths[index] as number);
    into.valueStart = into.keyEnd;
    into.valueEnd = into.valueStart + (this.valueLengths[index] as number);
    if (this.folding === 'count') writeCount(this.arena, into.valueStart, this.counts[index] as number);
  }
}

interface PairPosition {
  keyStart: number;
  keyEnd: number;
  valueStart: number;
  valueEnd: number;
}

class SortedPairs implements PairCursor, PairPosition {
  keyStart = 0;
  keyEnd = 0;
  valueStart = 0;
  valueEnd = 0;
  private next = 0;

  constructor(
    readonly bytes: Buffer,
    private readonly order: Uint32Array,
    private readonly locate: (index: number, into: PairPosition) => void,
  ) {}

  advance(): boolean {
    if (this.next === this.order.length) return false;
    this.locate(this.order[this.next++] as number, this);
    return true;
  }
}

/** A count as 8 bytes that sort like it. Exact up to 2^53. */
export function writeCount(bytes: Buffer, offset: number, count: number): void {
  bytes.writeUInt32BE(Math.floor(count / 2 ** 32), offset);
  bytes.writeUInt32BE(count >>> 0, offset + 4);
}

export function readCount(bytes: Buffer, offset: number): number {
  return bytes.readUInt32BE(offset) * 2 ** 32 + bytes.readUInt32BE(offset + 4);
}

function doubled(array: Uint32Array): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(array.length * 2);
  larger.set(array);
  return larger;
}
