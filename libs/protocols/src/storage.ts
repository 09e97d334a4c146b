import type { ErrorKind } from '@synod/runtime';
import type {
  ReadVersion,
  ShardId,
  Timestamp,
  TxnAttempt,
  TxnHandle,
  TxnOutcome,
  TxnRecord,
  Write,
} from './transaction';

/** What a shard's leader is asked. Every request names its shard; a node that does not lead it answers `not-leader` with a hint. */
export type StorageRequest =
  /** The newest versions at or below `readTs`. Waits, within bounds, for writers that may commit at or below it. */
  | { readonly kind: 'read'; readonly shard: ShardId; readonly keys: readonly Buffer[]; readonly readTs: Timestamp }
  /** Live keys in `[start, end)` at `readTs` in byte order, at most `limit` rows and about 1 MiB. */
  | {
      readonly kind: 'scan';
      readonly shard: ShardId;
      readonly start: Buffer;
      readonly end: Buffer;
      readonly limit: number;
      readonly readTs: Timestamp;
    }
  /** Phase 1 of two-phase commit at one participant: validate, lock, take `prep_ts`, log. Idempotent per attempt. */
  | {
      readonly kind: 'prepare';
      readonly shard: ShardId;
      readonly attempt: TxnAttempt;
      readonly reads: readonly ReadVersion[];
      readonly writes: readonly Write[];
    }
  /** The whole transaction, when one shard (then also its anchor) holds every key: one round. Idempotent per attempt. */
  | {
      readonly kind: 'commit-one-phase';
      readonly shard: ShardId;
      readonly attempt: TxnAttempt;
      readonly reads: readonly ReadVersion[];
      readonly writes: readonly Write[];
    }
  /**
   * Compare-and-set of the decision record; `shard` is the anchor. Whoever asks, the answer is the record as it stands afterwards:
   * the caller's proposal won only if they are equal.
   */
  | {
      readonly kind: 'decide';
      readonly shard: ShardId;
      readonly txn: TxnHandle;
      readonly proposal: TxnOutcome;
      /** Every shard that holds intents or locks of the attempt, so that anyone can finish the work. Empty when unknown. */
      readonly participants: readonly ShardId[];
    }
  /** The decision record, read linearizably; `shard` is the anchor. */
  | { readonly kind: 'status'; readonly shard: ShardId; readonly txn: TxnHandle }
  /** Phase 2 at one participant: turns intents into versions or drops them, and releases locks. Idempotent. */
  | { readonly kind: 'resolve'; readonly shard: ShardId; readonly txn: TxnHandle; readonly outcome: TxnOutcome };

export interface Row {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly version: Timestamp;
}

export type StorageResponse =
  /** In the order of the request's keys; `value` absent if the key is; `version` as in `ReadVersion`. */
  | {
      readonly kind: 'read';
      readonly values: readonly { readonly value: Buffer | undefined; readonly version: Timestamp }[];
    }
  | { readonly kind: 'scan'; readonly rows: readonly Row[]; readonly more: boolean }
  /** A durable yes: the participant can no longer abort alone. */
  | { readonly kind: 'prepared'; readonly prepTs: Timestamp }
  /** A no, and nothing of the attempt remains here: a read key changed, or a lock is held by an older transaction. */
  | { readonly kind: 'conflict'; readonly reason: string }
  /** The record as it stands: of `decide`, `status`, `commit-one-phase`, or a `prepare` that came after the decision. */
  | { readonly kind: 'record'; readonly record: TxnRecord }
  | { readonly kind: 'resolved' }
  | { readonly kind: 'error'; readonly error: RemoteError };

/** A `SynodError` on the wire. */
export interface RemoteError {
  readonly kind: ErrorKind;
  readonly message: string;
  /** Address of the node to try, for `not-leader`. */
  readonly hint?: string;
}
