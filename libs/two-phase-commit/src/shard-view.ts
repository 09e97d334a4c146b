import type { Decision, DecisionRecord } from './decision';
import type { Key, Timestamp, TxnAttempt, TxnHandle } from './words';

/** Who holds a lock, from when on: `prepTs` is a lower bound of the commit timestamp. */
export interface Lock extends TxnAttempt {
  readonly prepTs: Timestamp;
}

/**
 * What one shard knows of one transaction.
 *
 *   working -- prepare --> prepared -- resolve(committed) --> committed
 *      |                       `------ resolve(aborted) ----> aborted
 *      `------------ resolve(aborted), a tombstone ------------^   `-- prepare of a later attempt --> prepared
 */
export type ParticipantState =
  | { readonly phase: 'working' }
  /** In doubt: bound by its yes, it may neither commit nor abort alone until it is told the record (Gray & Lamport, §3). */
  | {
      readonly phase: 'prepared';
      readonly lock: Lock;
      /** Keys under intents. */
      readonly exclusive: readonly Key[];
      /** Keys read and not written. */
      readonly shared: readonly Key[];
    }
  | { readonly phase: 'committed'; readonly attempt: number; readonly commitTs: Timestamp }
  /** Also a tombstone for what comes late: no attempt up to this one prepares here any more. */
  | { readonly phase: 'aborted'; readonly attempt: number };

export const WORKING: ParticipantState = { phase: 'working' };

/** The replicated state of one shard, as the rules read it. */
export interface ShardView {
  participation(txn: TxnHandle): ParticipantState;
  /** The decision record, if this shard is the transaction's anchor; else `none`. */
  decision(txn: TxnHandle): DecisionRecord;
  /** Commit timestamp of the newest version of a key, a deletion included; 0 if there is none. */
  newestVersion(key: Key): Timestamp;
  intent(key: Key): Lock | undefined;
  sharedLocks(key: Key): readonly Lock[];
}

/** What a rule changes in the shard, all of it or nothing. `V` is a value as the host stores it, deletions included. */
export type Change<V> =
  | { readonly kind: 'participation'; readonly txn: TxnHandle; readonly state: ParticipantState }
  | { readonly kind: 'decision'; readonly txn: TxnHandle; readonly record: Decision }
  | { readonly kind: 'put-intent'; readonly key: Key; readonly lock: Lock; readonly value: V }
  | { readonly kind: 'put-shared-lock'; readonly key: Key; readonly lock: Lock }
  | { readonly kind: 'drop-intent'; readonly key: Key }
  | { readonly kind: 'drop-shared-lock'; readonly key: Key; readonly txn: TxnHandle }
  /** The intent's value becomes the version at `commitTs`; the intent goes. */
  | { readonly kind: 'commit-intent'; readonly key: Key; readonly commitTs: Timestamp }
  | { readonly kind: 'put-version'; readonly key: Key; readonly commitTs: Timestamp; readonly value: V };
