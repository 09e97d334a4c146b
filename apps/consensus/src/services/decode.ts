import type { etcdserverpb } from '@synod/contracts';
import { SynodError } from '@synod/runtime';
import { EtcdError } from '../state/errors';
import type {
  CompareRequest,
  CompareResult,
  CompareTarget,
  DeleteRangeRequest,
  OperationRequest,
  PutRequest,
  RangeRequest,
  SortOrder,
  SortTarget,
  TxnRequest,
} from '../state/requests';
import type { WatchStreamRequest } from '../watch-stream';

// From etcd's messages to our own words. An enum value that the contract does not have arrives as its number.

const SORT_ORDERS: Readonly<Record<string, SortOrder>> = { NONE: 'none', ASCEND: 'ascend', DESCEND: 'descend' };
const SORT_TARGETS: Readonly<Record<string, SortTarget>> = {
  KEY: 'key',
  VERSION: 'version',
  CREATE: 'create',
  MOD: 'mod',
  VALUE: 'value',
};
const COMPARE_TARGETS: Readonly<Record<string, CompareTarget>> = {
  VERSION: 'version',
  CREATE: 'create',
  MOD: 'mod',
  VALUE: 'value',
  LEASE: 'lease',
};
const COMPARE_RESULTS: Readonly<Record<string, CompareResult>> = {
  EQUAL: 'equal',
  GREATER: 'greater',
  LESS: 'less',
  NOT_EQUAL: 'not-equal',
};

export function decodeRange(request: etcdserverpb.RangeRequest__Output): RangeRequest {
  const sortOrder = SORT_ORDERS[request.sortOrder];
  const sortTarget = SORT_TARGETS[request.sortTarget];
  if (sortOrder === undefined || sortTarget === undefined) throw new EtcdError('invalid-sort-option');
  return {
    kind: 'range',
    key: request.key,
    rangeEnd: request.rangeEnd,
    limit: BigInt(request.limit),
    revision: BigInt(request.revision),
    sortOrder,
    sortTarget,
    keysOnly: request.keysOnly,
    countOnly: request.countOnly,
    minModRevision: BigInt(request.minModRevision),
    maxModRevision: BigInt(request.maxModRevision),
    minCreateRevision: BigInt(request.minCreateRevision),
    maxCreateRevision: BigInt(request.maxCreateRevision),
  };
}

export function decodePut(request: etcdserverpb.PutRequest__Output): PutRequest {
  return {
    kind: 'put',
    key: request.key,
    value: request.value,
    lease: BigInt(request.lease),
    previous: request.prevKv,
    ignoreValue: request.ignoreValue,
    ignoreLease: request.ignoreLease,
  };
}

export function decodeDeleteRange(request: etcdserverpb.DeleteRangeRequest__Output): DeleteRangeRequest {
  const { key, rangeEnd, prevKv } = request;
  return { kind: 'delete-range', key, rangeEnd, previous: prevKv, spareReserved: false };
}

export function decodeTxn(request: etcdserverpb.TxnRequest__Output): TxnRequest {
  return {
    kind: 'txn',
    compare: request.compare.map(decodeCompare),
    success: request.success.map(decodeOperation),
    failure: request.failure.map(decodeOperation),
  };
}

/** Whether a transaction asks for nothing newer than what its member has: each of its ranges says so. */
export function isSerializable(request: etcdserverpb.TxnRequest__Output): boolean {
  const operations = [...request.success, ...request.failure];
  return (
    operations.length > 0 &&
    operations.every(
      ({ requestRange, requestTxn }) =>
        requestRange?.serializable === true || (requestTxn != null && isSerializable(requestTxn)),
    )
  );
}

function decodeOperation(message: etcdserverpb.RequestOp__Output): OperationRequest {
  switch (message.request) {
    case 'requestRange':
      if (message.requestRange != null) return decodeRange(message.requestRange);
      break;
    case 'requestPut':
      if (message.requestPut != null) return decodePut(message.requestPut);
      break;
    case 'requestDeleteRange':
      if (message.requestDeleteRange != null) return decodeDeleteRange(message.requestDeleteRange);
      break;
    case 'requestTxn':
      if (message.requestTxn != null) return decodeTxn(message.requestTxn);
      break;
    case undefined:
  }
  // etcd's own answer to an operation that is none.
  throw new EtcdError('key-not-found');
}

function decodeCompare(message: etcdserverpb.Compare__Output): CompareRequest {
  const target = COMPARE_TARGETS[message.target];
  const result = COMPARE_RESULTS[message.result];
  if (target === undefined || result === undefined) {
    throw new SynodError('invalid-argument', 'a comparison has a target or a result that this release does not know');
  }
  return { key: message.key, rangeEnd: message.rangeEnd, target, result, operand: operandOf(message, target) };
}

/** Absent, or of another type than the target: zero, or no bytes. */
function operandOf(message: etcdserverpb.Compare__Output, target: CompareTarget): Buffer | bigint {
  switch (target) {
    case 'version':
      return BigInt(message.version ?? 0);
    case 'create':
      return BigInt(message.createRevision ?? 0);
    case 'mod':
      return BigInt(message.modRevision ?? 0);
    case 'lease':
      return BigInt(message.lease ?? 0);
    case 'value':
      return message.value ?? Buffer.alloc(0);
  }
}

/** @returns undefined for a request of a kind that is not known: it is passed over, as etcd does */
export function decodeWatch(message: etcdserverpb.WatchRequest__Output): WatchStreamRequest | undefined {
  switch (message.requestUnion) {
    case 'createRequest': {
      const request = message.createRequest;
      if (request == null) return undefined;
      return {
        kind: 'create',
        key: request.key,
        rangeEnd: request.rangeEnd,
        watchId: BigInt(request.watchId),
        startRevision: BigInt(request.startRevision),
        withoutPuts: request.filters.includes('NOPUT'),
        withoutDeletes: request.filters.includes('NODELETE'),
        previous: request.prevKv,
        progressNotify: request.progressNotify,
        fragment: request.fragment,
      };
    }
    case 'cancelRequest':
      return { kind: 'cancel', watchId: BigInt(message.cancelRequest?.watchId ?? 0) };
    case 'progressRequest':
      return { kind: 'progress' };
    case undefined:
    default:
      return undefined;
  }
}
