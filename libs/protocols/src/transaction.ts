/** `physical_ms << 18 | logical`, from the oracle. Exceeds 2^53: bigint in code, 8 bytes on disk, a string in JSON. */
export type Timestamp = bigint;

/** A shard's index, from 0. */
export type ShardId = number;

/** 128 random bits in lower-case hex, made once per logical transaction and kept over all its attempts. */
export type TxnId = string;

/**
 * A transaction, as every intent, lock, record, request and retry names it: `txn_id@anchor`. The anchor is the shard of the smallest
 * key written by the first attempt to commit; it holds the one decision record and never changes, whatever later attempts write.
 */
export interface TxnHandle {
  readonly id: TxnId;
  readonly anchor: ShardId;
}

/** One attempt of a transaction. */
export interface TxnAttempt {
  readonly txn: TxnHandle;
  /** From 1; each re-execution of the client's function counts one up. */
  readonly attempt: number;
  /** `begin` timestamp of the first attempt: the wait-die priority, lower is older and wins. Kept over retries, so that they age. */
  readonly priority: Timestamp;
}

/** A version that a transaction saw; validated when it commits. */
export interface ReadVersion {
  readonly key: Buffer;
  /** Commit timestamp of the version seen; 0 if the key was absent (a deleted key has the timestamp of its deletion). */
  readonly version: Timestamp;
}

/** A buffered write; no value deletes the key. */
export interface Write {
  readonly key: Buffer;
  readonly value: Buffer | undefined;
}

/** The decision record of a transaction, as it stands in its anchor shard. */
export type TxnRecord =
  /** Nothing is decided: the attempt may still be on its way. */
  | { readonly state: 'none' }
  | { readonly state: 'committed'; readonly attempt: number; readonly commitTs: Timestamp }
  /** No attempt up to and including `attempt` has committed or ever will. */
  | { readonly state: 'aborted'; readonly attempt: number };

/** A decision that will never change for its attempt. */
export type TxnOutcome = Exclude<TxnRecord, { state: 'none' }>;
