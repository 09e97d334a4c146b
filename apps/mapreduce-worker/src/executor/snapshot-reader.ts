/** The store as a map task reads it: as of one timestamp. The SDK's key-value client is one. */
export interface SnapshotReader {
  /** The live rows of `[start, end)` in unsigned byte order, page after page; an empty `end` is after every key. */
  rows(range: {
    readonly start: Buffer;
    readonly end: Buffer;
    readonly readTs: bigint;
  }): AsyncIterable<{ readonly key: Buffer; readonly value: Buffer }>;
}
