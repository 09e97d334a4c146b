import type { AuthCommand } from './auth/auth-commands';

/** The store's one counter: every change of one request shares one value. An empty store is at 1, so the first change makes 2. */
export type Revision = bigint;

/** A lease, by the number its owner or the server chose. 0n means "no lease". */
export type LeaseId = bigint;

/** One version of a key. Of a deletion only `key` and `modRevision` mean something. */
export interface KeyValue {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly createRevision: Revision;
  readonly modRevision: Revision;
  /** 1 at creation, counted up by each put, back to 0 when deleted. */
  readonly version: bigint;
  readonly lease: LeaseId;
}

export type SortOrder = 'none' | 'ascend' | 'descend';
export type SortTarget = 'key' | 'version' | 'create' | 'mod' | 'value';

/** Keys from `key` to `rangeEnd`: see `spanOf` for its three forms. Zero in a bound or a limit means "none". */
export interface RangeRequest {
  readonly kind: 'range';
  readonly key: Buffer;
  readonly rangeEnd: Buffer;
  readonly limit: bigint;
  /** The past state to read; 0 or less is the present. */
  readonly revision: Revision;
  readonly sortOrder: SortOrder;
  readonly sortTarget: SortTarget;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
  readonly minModRevision: Revision;
  readonly maxModRevision: Revision;
  readonly minCreateRevision: Revision;
  readonly maxCreateRevision: Revision;
}

export interface PutRequest {
  readonly kind: 'put';
  readonly key: Buffer;
  readonly value: Buffer;
  readonly lease: LeaseId;
  readonly previous: boolean;
  /** Keep the present value (or lease); the key must exist. */
  readonly ignoreValue: boolean;
  readonly ignoreLease: boolean;
}

export interface DeleteRangeRequest {
  readonly kind: 'delete-range';
  readonly key: Buffer;
  readonly rangeEnd: Buffer;
  readonly previous: boolean;
  /** Leave keys under the reserved prefix alone: set for callers that are not services. */
  readonly spareReserved: boolean;
}

export type CompareTarget = 'version' | 'create' | 'mod' | 'value' | 'lease';
export type CompareResult = 'equal' | 'greater' | 'less' | 'not-equal';

/** Holds if every key of the span compares so. `operand` is bytes for `value`, a number for the others. */
export interface CompareRequest {
  readonly key: Buffer;
  readonly rangeEnd: Buffer;
  readonly target: CompareTarget;
  readonly result: CompareResult;
  readonly operand: Buffer | bigint;
}

export interface TxnRequest {
  readonly kind: 'txn';
  readonly compare: readonly CompareRequest[];
  readonly success: readonly OperationRequest[];
  readonly failure: readonly OperationRequest[];
}

/** What may stand inside a transaction. */
export type OperationRequest = RangeRequest | PutRequest | DeleteRangeRequest | TxnRequest;

/** Everything that goes through the log. */
export type Command =
  | PutRequest
  | DeleteRangeRequest
  | TxnRequest
  /** Forget the states before `revision`. The records go in later steps, so that no turn is long. */
  | { readonly kind: 'compact'; readonly revision: Revision }
  /** Look at up to `events` more events of a compaction and remove what it made unreachable. */
  | { readonly kind: 'compact-step'; readonly events: number }
  | { readonly kind: 'lease-grant'; readonly id: LeaseId; readonly ttlSeconds: bigint }
  | { readonly kind: 'lease-revoke'; readonly id: LeaseId }
  | AlarmChange
  /** How long leases have left, as of this place in the log: what a later leader counts from. */
  | { readonly kind: 'lease-checkpoint'; readonly leases: readonly LeaseRemaining[] }
  /** Hash up to `entries` records of the state from `start` on: all members do it at the same place in the log. */
  | { readonly kind: 'check-state'; readonly start: Buffer; readonly entries: number }
  | AuthCommand;

export interface LeaseRemaining {
  readonly id: LeaseId;
  readonly remainingSeconds: bigint;
}

/** What is wrong with a member, known to all of them. `none` means nothing; etcd stores it like the others. */
export interface Alarm {
  /** The member's number; 0n if it is not known which one. */
  readonly member: bigint;
  readonly type: 'none' | 'no-space' | 'corrupt';
  /** Raised by a member that noticed, not by an operator. */
  readonly automatic: boolean;
}

export interface AlarmChange extends Alarm {
  readonly kind: 'alarm';
  readonly action: 'raise' | 'clear';
}

/** A range of the whole present with no option set: what most callers vary. */
export function rangeRequest(key: Buffer, rangeEnd: Buffer, options: Partial<RangeRequest> = {}): RangeRequest {
  return {
    kind: 'range',
    key,
    rangeEnd,
    limit: 0n,
    revision: 0n,
    sortOrder: 'none',
    sortTarget: 'key',
    keysOnly: false,
    countOnly: false,
    minModRevision: 0n,
    maxModRevision: 0n,
    minCreateRevision: 0n,
    maxCreateRevision: 0n,
    ...options,
  };
}

export function putRequest(key: Buffer, value: Buffer, options: Partial<PutRequest> = {}): PutRequest {
  return { kind: 'put', key, value, lease: 0n, previous: false, ignoreValue: false, ignoreLease: false, ...options };
}

export function deleteRangeRequest(
  key: Buffer,
  rangeEnd: Buffer,
  options: Partial<DeleteRangeRequest> = {},
): DeleteRangeRequest {
  return { kind: 'delete-range', key, rangeEnd, previous: false, spareReserved: false, ...options };
}

/** Whether a transaction changes nothing on any path: then it needs no place in the log. */
export function isReadOnly(txn: TxnRequest): boolean {
  return [...txn.success, ...txn.failure].every(
    (operation) => operation.kind === 'range' || (operation.kind === 'txn' && isReadOnly(operation)),
  );
}
