/** From the timestamp oracle; totally ordered, never issued twice. 0 is below all of them. */
export type Timestamp = bigint;

/** One per logical transaction, kept over all its attempts. */
export type TxnId = string;

/** A participant. */
export type ShardId = number;

/** A key: equal strings are equal keys. The host maps its bytes to strings one to one. */
export type Key = string;

/** A transaction as every intent, lock, record and request names it: `txn_id@anchor`. */
export interface TxnHandle {
  readonly id: TxnId;
  /** The shard that holds the one decision record. Chosen once, by the first attempt. Invariant `one-record-per-transaction`. */
  readonly anchor: ShardId;
}

/** The anchor is part of a transaction's identity: whoever names another one speaks of another transaction. */
export function sameTxn(a: TxnHandle, b: TxnHandle): boolean {
  return a.id === b.id && a.anchor === b.anchor;
}

/** `txn_id@anchor`, for maps and messages. */
export function txnName(txn: TxnHandle): string {
  return `${txn.id}@${txn.anchor}`;
}

/** One attempt of a transaction. */
export interface TxnAttempt {
  readonly txn: TxnHandle;
  /** From 1; a later attempt may read and write other keys, at other shards. */
  readonly attempt: number;
  /** Begin timestamp of the first attempt: lower is older, and wins conflicts. */
  readonly priority: Timestamp;
}
