/** One key with its value. */
export interface Entry {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** Which keys, in unsigned byte order: `start` included, `end` excluded. */
export interface KeyRange {
  readonly start: Uint8Array;
  readonly end: Uint8Array;
  /** From the last key down to the first. */
  readonly reverse?: boolean;
  /** At most this many entries; all if absent. */
  readonly limit?: number;
}

/** A view of a store that does not change while it is read. The buffers it returns belong to the caller. */
export interface StoreReader {
  get(key: Uint8Array): Buffer | undefined;
  /** The entries of a range, lazily and in order. Must be consumed before control returns to the event loop. */
  range(range: KeyRange): Iterable<Entry>;
}

/** A transaction in progress: sees its own writes. */
export interface StoreTransaction extends StoreReader {
  put(key: Uint8Array, value: Uint8Array): void;
  remove(key: Uint8Array): void;
}

/**
 * An ordered map of bytes to bytes, on one node. Keys are 1 to 1,900 bytes.
 *
 * A transaction is visible at once and durable later: a power cut returns the store to some earlier transaction boundary, never
 * below the last one that `flush` had resolved for. What needs durability now goes to the write-ahead log first.
 */
export interface Store extends StoreReader {
  /** Runs `work` as one atomic transaction, synchronously; if it throws, nothing of it remains. */
  transaction<T>(work: (transaction: StoreTransaction) => T): T;
  /** Resolves once every transaction committed before this call is durable. */
  flush(): Promise<void>;
  close(): Promise<void>;
}
