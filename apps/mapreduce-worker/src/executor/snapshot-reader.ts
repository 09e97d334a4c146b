/** The store as a map task reads it: as of one timestamp. */
export interface SnapshotReader {
  /** The next live rows with `prefix` above `after`, in unsigned byte order; an empty `after` starts at the first. */
  scan(request: {
    readonly prefix: Buffer;
    readonly after: Buffer;
    readonly limit: number;
    readonly readTs: bigint;
  }): Promise<{ readonly rows: readonly SnapshotRow[]; readonly more: boolean }>;
}

export interface SnapshotRow {
  readonly key: Buffer;
  readonly value: Buffer;
}
