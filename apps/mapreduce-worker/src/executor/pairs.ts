import { compareSlices } from './slices';

/**
 * Key-value pairs, one at a time: where the present one lies in `bytes`. Nothing is copied, so what is wanted beyond the next
 * `advance` must be.
 */
export interface PairCursor {
  readonly bytes: Buffer;
  readonly keyStart: number;
  readonly keyEnd: number;
  readonly valueStart: number;
  readonly valueEnd: number;
  /** Moves to the next pair; the first call to the first one. @returns false at the end */
  advance(): boolean;
}

/** The order of everything sorted here: unsigned byte order of keys, then of values, so that no schedule shows in the output. */
export function comparePairs(a: PairCursor, b: PairCursor): number {
  const keys = compareSlices(a.bytes, a.keyStart, a.keyEnd, b.bytes, b.keyStart, b.keyEnd);
  if (keys !== 0) return keys;
  return compareSlices(a.bytes, a.valueStart, a.valueEnd, b.bytes, b.valueStart, b.valueEnd);
}

/** The values of one key, in order; may be walked once, before the function they were given to returns. */
export interface GroupValues {
  /** Moves to the next value. @returns false at the end */
  next(): boolean;
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

export type EmitPair = (key: Uint8Array, value: Uint8Array) => void;

/** What a combiner and a reducer are, on bytes. `key` is a copy. */
export type GroupFunction = (key: Buffer, values: GroupValues, emit: EmitPair) => void;

/** Calls `run` once for each key of a sorted cursor, in order. Values it leaves are skipped; a group needs no memory of its own. */
export function forEachGroup(cursor: PairCursor, run: (key: Buffer, values: GroupValues) => void): number {
  let groups = 0;
  let more = cursor.advance();
  while (more) {
    const key = Buffer.from(cursor.bytes.subarray(cursor.keyStart, cursor.keyEnd));
    const values = new ValuesOfKey(cursor, key);
    run(key, values);
    while (values.next());
    more = values.cursorHasMore;
    groups++;
  }
  return groups;
}

class ValuesOfKey implements GroupValues {
  /** The cursor stands on the first value already. */
  private first = true;
  private ended = false;
  cursorHasMore = true;

  constructor(
    private readonly cursor: PairCursor,
    private readonly key: Buffer,
  ) {}

  get bytes(): Buffer {
    return this.cursor.bytes;
  }

  get start(): number {
    return this.cursor.valueStart;
  }

  get end(): number {
    return this.cursor.valueEnd;
  }

  next(): boolean {
    if (this.ended) return false;
    if (this.first) {
      this.first = false;
      return true;
    }
    this.cursorHasMore = this.cursor.advance();
    this.ended = !this.cursorHasMore || !this.sameKey();
    return !this.ended;
  }

  private sameKey(): boolean {
    const { bytes, keyStart, keyEnd } = this.cursor;
    return compareSlices(bytes, keyStart, keyEnd, this.key, 0, this.key.length) === 0;
  }
}
