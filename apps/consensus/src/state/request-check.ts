import { EtcdError, type EtcdErrorName } from './errors';
import { KEY_BYTES_MAX } from './key-space';
import type { DeleteRangeRequest, OperationRequest, PutRequest, TxnRequest } from './requests';
import { RESERVED } from './reserved';
import { intersect, spanIncludes, spanOf, spanWithin, type Span } from './span';

/** What one request of a client may ask for; etcd's defaults. */
export interface RequestLimits {
  /** As it is encoded for the log. (`--max-request-bytes`) */
  readonly requestBytesMax: number;
  /** Comparisons, and operations of either path, of a transaction; a nested one has what its parents left. (`--max-txn-ops`) */
  readonly txnOperationsMax: number;
}

export const DEFAULT_REQUEST_LIMITS: RequestLimits = { requestBytesMax: 1536 * 1024, txnOperationsMax: 128 };

/** The founding of the cluster writes a key for each shard at once. */
const SERVICE_TXN_OPERATIONS_MAX = 4_096;

/** Who asks: writes under the reserved prefix are for services. */
export type Identity = 'service' | 'client';

/**
 * Refuses what is wrong whatever the state: done before a request is proposed or read.
 * Source: etcd, server/etcdserver/api/v3rpc/key.go.
 * @throws {EtcdError}
 */
export function checkOperation(
  request: OperationRequest,
  identity: Identity,
  { txnOperationsMax }: RequestLimits = DEFAULT_REQUEST_LIMITS,
): void {
  if (request.kind === 'txn') {
    checkTxn(request, identity, identity === 'service' ? SERVICE_TXN_OPERATIONS_MAX : txnOperationsMax);
    refuseOverlaps(request);
    return;
  }
  checkKey(request.key);
  if (request.kind !== 'put') checkRangeEnd(request.rangeEnd);
  else {
    if (request.ignoreValue && request.value.length > 0) refuse('value-provided');
    if (request.ignoreLease && request.lease !== 0n) refuse('lease-provided');
  }
  if (request.kind !== 'range' && identity === 'client' && isReserved(request)) refuse('permission-denied');
}

/** Whether a write is aimed at the reserved prefix; a wider deletion spares it instead. */
function isReserved(request: PutRequest | DeleteRangeRequest): boolean {
  if (request.kind === 'put') return spanIncludes(RESERVED, request.key);
  const span = spanOf(request.key, request.rangeEnd);
  return intersect(span, RESERVED) !== undefined && spanWithin(span, RESERVED);
}

function checkTxn(txn: TxnRequest, identity: Identity, operationsMax: number): void {
  const used = Math.max(txn.compare.length, txn.success.length, txn.failure.length);
  if (used > operationsMax) refuse('too-many-operations');
  for (const compare of txn.compare) {
    checkKey(compare.key);
    checkRangeEnd(compare.rangeEnd);
  }
  for (const operation of [...txn.success, ...txn.failure]) {
    if (operation.kind === 'txn') checkTxn(operation, identity, operationsMax - used);
    else checkOperation(operation, identity);
  }
}

function checkKey(key: Buffer): void {
  if (key.length === 0) refuse('empty-key');
  if (key.length > KEY_BYTES_MAX) refuse('request-too-large');
}

function checkRangeEnd(rangeEnd: Buffer): void {
  if (rangeEnd.length > KEY_BYTES_MAX) refuse('request-too-large');
}

interface Touched {
  /** Keys put, by their bytes as latin1. */
  readonly puts: Set<string>;
  readonly deletes: Span[];
}

/**
 * A key may be written once in a transaction: two puts of it, or a put inside a deletion, have no meaning within one revision.
 * The two paths of a nested transaction exclude each other, so both may put a key.
 */
function refuseOverlaps(txn: TxnRequest): void {
  touchedBy(txn.success);
  touchedBy(txn.failure);
}

function touchedBy(operations: readonly OperationRequest[]): Touched {
  const puts = new Set<string>();
  const deletes: Span[] = [];
  for (const operation of operations) {
    if (operation.kind === 'delete-range') deletes.push(spanOf(operation.key, operation.rangeEnd));
  }
  const addPut = (key: string, allowed: ReadonlySet<string>): void => {
    if (puts.has(key) && !allowed.has(key)) refuse('duplicate-key');
    if (isDeleted(deletes, Buffer.from(key, 'latin1'))) refuse('duplicate-key');
    puts.add(key);
  };
  for (const operation of operations) {
    if (operation.kind !== 'txn') continue;
    const then = touchedBy(operation.success);
    const otherwise = touchedBy(operation.failure);
    for (const key of then.puts) addPut(key, NONE);
    for (const key of otherwise.puts) addPut(key, then.puts);
    deletes.push(...then.deletes, ...otherwise.deletes);
  }
  for (const operation of operations) {
    if (operation.kind === 'put') addPut(operation.key.toString('latin1'), NONE);
  }
  return { puts, deletes };
}

const NONE: ReadonlySet<string> = new Set();

function isDeleted(deletes: readonly Span[], key: Buffer): boolean {
  const point = spanOf(key, Buffer.alloc(0));
  return deletes.some((span) => intersect(span, point) !== undefined);
}

function refuse(error: EtcdErrorName): never {
  throw new EtcdError(error);
}
