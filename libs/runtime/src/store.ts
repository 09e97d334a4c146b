/** One key with its value. */
export interface Entry {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** Which keys, in unsigned byte order: `start` included, `end` excluded. Bounds may be of any length; an empty `start` is the first key. */
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
  /**
   * The entries of a range, lazily and in order. Must be consumed before control returns to the event loop.
   *
   * Read from a transaction, it sees that transaction's own writes, those made while it is being read included: each step goes
   * to the next key as things then stand. Read from the store, it sees one version: invariant `range-reads-one-version`, broken
   * if a transaction commits between two of its steps.
   */
  range(range: KeyRange): Iterable<Entry>;
}

/** A transaction in progress: sees its own writes. Keys and values are copied. Unusable once `work` has returned. */
export interface StoreTransaction extends StoreReader {
  put(key: Uint8Array, value: Uint8Array): void;
  /** Does nothing if the key is absent. */
  remove(key: Uint8Array): void;
}

/**
 * A store as it was at one moment, for those who read more than fits into a turn: transactions that follow do not show in it. Its range
 * may be read across turns. It keeps old data alive, on disk too, until it is released.
 */
export interface StoreSnapshot extends StoreReader {
  /** Idempotent. Nothing may be read afterwards. */
  release(): void;
}

/** Longest key of a `Store`: 1,978 is what LMDB takes with pages of 4 KiB; the rest is left for the adapter. */
export const STORE_KEY_BYTES_MAX = 1_900;

/**
 * An ordered map of bytes to bytes, on one node. Keys are 1 to 1,900 bytes (`STORE_KEY_BYTES_MAX`; others throw
 * `invalid-argument`), values of any length.
 *
 * A transaction is visible at once and durable later: the end of the process, or a power cut, returns the store to some earlier
 * transaction boundary, never below the last one that `flush` had resolved for. What needs durability now goes to the write-ahead log first.
 */
export interface Store extends StoreReader {
  /**
   * Runs `work` as one atomic transaction, synchronously; if it throws, nothing of it remains and the error is thrown on.
   * Transactions do not nest, and inside `work` the store is read through the transaction only.
   */
  transaction<T>(work: (transaction: StoreTransaction) => T): T;
  /** What the store holds now. Never called inside a transaction. */
  snapshot(): StoreSnapshot;
  /** Resolves once every transaction committed before this call is durable. */
  flush(): Promise<void>;
  /** Waits for what `flush` would, then releases the store. Every later call on it throws or rejects. */
  close(): Promise<void>;
}
