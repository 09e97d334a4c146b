import type { EtcdErrorName } from './errors';
import type { Alarm, KeyValue, LeaseId, Revision } from './requests';

export interface RangeResult {
  readonly kind: 'range';
  /** The store's revision when it was read, not the one that was asked for. */
  readonly revision: Revision;
  readonly entries: readonly KeyValue[];
  /** More keys than `limit` matched. */
  readonly more: boolean;
  /** Keys in the span, whatever the limit and the filters. */
  readonly count: bigint;
}

export interface PutResult {
  readonly kind: 'put';
  readonly revision: Revision;
  readonly previous: KeyValue | undefined;
}

export interface DeleteRangeResult {
  readonly kind: 'delete-range';
  readonly revision: Revision;
  readonly deleted: bigint;
  readonly previous: readonly KeyValue[];
}

export interface TxnResult {
  readonly kind: 'txn';
  readonly revision: Revision;
  readonly succeeded: boolean;
  /** One per operation of the path that was taken, in order. */
  readonly responses: readonly OperationResult[];
}

export type OperationResult = RangeResult | PutResult | DeleteRangeResult | TxnResult;

/** What applying a command came to: the same on every replica, refusals included. */
export type ApplyResult =
  | PutResult
  | DeleteRangeResult
  | TxnResult
  | { readonly kind: 'compacted'; readonly revision: Revision }
  | { readonly kind: 'compact-step'; readonly revision: Revision; readonly finished: boolean }
  | {
      readonly kind: 'lease-granted';
      readonly revision: Revision;
      readonly id: LeaseId;
      readonly ttlSeconds: bigint;
    }
  | { readonly kind: 'lease-revoked'; readonly revision: Revision }
  | { readonly kind: 'lease-checkpointed'; readonly revision: Revision }
  /** The alarms that were raised or cleared: none if there was nothing to clear. */
  | { readonly kind: 'alarms'; readonly revision: Revision; readonly alarms: readonly Alarm[] }
  /** Where the next check goes on; undefined at the end of the state. What the hash was each member knows for itself. */
  | { readonly kind: 'state-checked'; readonly revision: Revision; readonly next: Buffer | undefined }
  /** Users or roles are as the command wanted them. */
  | { readonly kind: 'auth-changed'; readonly revision: Revision }
  /** Nothing was changed. */
  | { readonly kind: 'refused'; readonly revision: Revision; readonly error: EtcdErrorName };

/** One change, as watchers see it. */
export interface ChangeEvent {
  readonly type: 'put' | 'delete';
  readonly entry: KeyValue;
  /** Where the version that this change replaced is kept, if there was one and it was not a deletion. */
  readonly previous: VersionPlace | undefined;
}

/** All changes of one revision, in the order they were made. */
export interface Change {
  readonly revision: Revision;
  readonly events: readonly ChangeEvent[];
}

/** Where a version of a key is kept: its revision and its order within it. */
export interface VersionPlace {
  readonly revision: Revision;
  readonly sub: number;
}
