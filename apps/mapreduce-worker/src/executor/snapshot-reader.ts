/** The store as a map task reads it: as of one timestamp. */
export interface SnapshotReader {
  /** What these keys held, in their order; undefined for a key that was absent. */
  values(keys: readonly Buffer[], readTs: bigint): Promise<readonly (Buffer | undefined)[]>;
  /** The live rows of `[start, end)` in unsigned byte order, page after page; an empty `end` is after every key. */
  rows(range: {
    readonly start: Buffer;
    readonly end: Buffer;
    readonly readTs: bigint;
  }): AsyncIterable<{ readonly key: Buffer; readonly value: Buffer }>;
}
