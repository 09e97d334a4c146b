import { invariant } from '@synod/invariant';
import type { StoreReader } from '@synod/runtime';
import type { EtcdErrorName } from './errors';
import type { KeySpace } from './key-space';
import { range, refuseRevision } from './range';
import { isReadOnly, type RangeRequest, type TxnRequest } from './requests';
import type { OperationResult, RangeResult, TxnResult } from './results';
import { choosePath, type TxnPath } from './txn';

/** A read that cannot be answered at the revision it asks for. */
export interface Refused {
  readonly kind: 'refused';
  readonly error: EtcdErrorName;
}

/** A range against the store as it is: no place in the log is needed. */
export function readRange(keySpace: KeySpace, reader: StoreReader, request: RangeRequest): RangeResult | Refused {
  const { revision, compacted } = keySpace.meta(reader);
  const error = refuseRevision(request, revision, compacted);
  return error === undefined ? range(keySpace, reader, request, revision) : { kind: 'refused', error };
}

/** A transaction that changes nothing, against the store as it is. */
export function readTxn(keySpace: KeySpace, reader: StoreReader, txn: TxnRequest): TxnResult | Refused {
  invariant(isReadOnly(txn), 'reads-change-nothing');
  return readPath(keySpace, reader, choosePath(keySpace, reader, txn));
}

function readPath(keySpace: KeySpace, reader: StoreReader, path: TxnPath): TxnResult | Refused {
  const responses: OperationResult[] = [];
  for (const step of path.steps) {
    invariant(step.kind === 'range' || step.kind === 'path', 'reads-change-nothing');
    const response = step.kind === 'range' ? readRange(keySpace, reader, step) : readPath(keySpace, reader, step);
    if (response.kind === 'refused') return response;
    responses.push(response);
  }
  return { kind: 'txn', revision: keySpace.meta(reader).revision, succeeded: path.succeeded, responses };
}
