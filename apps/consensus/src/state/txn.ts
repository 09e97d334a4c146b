import type { StoreReader } from '@synod/runtime';
import { deleteRange } from './delete';
import type { EtcdErrorName } from './errors';
import { entryOf, type KeySpace } from './key-space';
import { put, refusePutInTxn } from './put';
import { aliveIn, range, refuseRevision } from './range';
import type {
  CompareRequest,
  DeleteRangeRequest,
  KeyValue,
  PutRequest,
  RangeRequest,
  Revision,
  TxnRequest,
} from './requests';
import type { OperationResult, TxnResult } from './results';
import type { RevisionWriter } from './revision-writer';
import { spanOf } from './span';

/** Which way a transaction goes, decided at its start for every level: what it writes does not change its own comparisons. */
export interface TxnPath {
  readonly kind: 'path';
  readonly succeeded: boolean;
  readonly steps: readonly (RangeRequest | PutRequest | DeleteRangeRequest | TxnPath)[];
}

export function choosePath(keySpace: KeySpace, reader: StoreReader, txn: TxnRequest): TxnPath {
  const { revision } = keySpace.meta(reader);
  const succeeded = txn.compare.every((compare) => holds(keySpace, reader, compare, revision));
  const steps = (succeeded ? txn.success : txn.failure).map((operation) =>
    operation.kind === 'txn' ? choosePath(keySpace, reader, operation) : operation,
  );
  return { kind: 'path', succeeded, steps };
}

/**
 * Why the steps of a path cannot be done, if so. All are examined before any is done, first what they write and then what they read:
 * a transaction is whole or nothing.
 */
export function refusePath(writer: RevisionWriter, path: TxnPath): EtcdErrorName | undefined {
  return (
    firstRefusal(path, (step) => (step.kind === 'put' ? refusePutInTxn(writer, step) : undefined)) ??
    firstRefusal(path, (step) =>
      step.kind === 'range' ? refuseRevision(step, writer.revision, writer.compacted) : undefined,
    )
  );
}

/** Does the steps of a path in order; each sees what those before it did. */
export function runPath(writer: RevisionWriter, path: TxnPath): TxnResult {
  const responses = path.steps.map((step): OperationResult => {
    switch (step.kind) {
      case 'range':
        return range(writer.keySpace, writer.transaction, step, writer.revision);
      case 'put':
        return put(writer, step);
      case 'delete-range':
        return deleteRange(writer, step);
      case 'path':
        return runPath(writer, step);
    }
  });
  return { kind: 'txn', revision: writer.revision, succeeded: path.succeeded, responses };
}

function firstRefusal(
  path: TxnPath,
  refuse: (step: Exclude<TxnPath['steps'][number], TxnPath>) => EtcdErrorName | undefined,
): EtcdErrorName | undefined {
  for (const step of path.steps) {
    const refusal = step.kind === 'path' ? firstRefusal(step, refuse) : refuse(step);
    if (refusal !== undefined) return refusal;
  }
  return undefined;
}

const ABSENT: KeyValue = {
  key: Buffer.alloc(0),
  value: Buffer.alloc(0),
  createRevision: 0n,
  modRevision: 0n,
  version: 0n,
  lease: 0n,
};

/** Whether every key of the comparison's span compares as it says. A span without keys compares as a key of zeros, without a value. */
function holds(keySpace: KeySpace, reader: StoreReader, compare: CompareRequest, now: Revision): boolean {
  const span = spanOf(compare.key, compare.rangeEnd);
  let found = false;
  for (const { key, latest } of aliveIn(keySpace, reader, span, now, now)) {
    found = true;
    const value = compare.target === 'value' ? keySpace.version(reader, latest.place)?.value : undefined;
    const entry = entryOf({ ...latest, key, value: value ?? ABSENT.value, previous: undefined });
    if (!entryHolds(compare, entry)) return false;
  }
  // There is no way to write "no value" in a request, so a comparison with the value of a missing key is always false.
  return found || (compare.target !== 'value' && entryHolds(compare, ABSENT));
}

function entryHolds(compare: CompareRequest, entry: KeyValue): boolean {
  const order = orderOf(compare, entry);
  switch (compare.result) {
    case 'equal':
      return order === 0;
    case 'not-equal':
      return order !== 0;
    case 'greater':
      return order > 0;
    case 'less':
      return order < 0;
  }
}

/** How the entry stands to the operand: negative below, zero equal, positive above. */
function orderOf({ target, operand }: CompareRequest, entry: KeyValue): number {
  if (typeof operand !== 'bigint') return target === 'value' ? Buffer.compare(entry.value, operand) : 0;
  const number = numberOf(target, entry);
  return number < operand ? -1 : number > operand ? 1 : 0;
}

function numberOf(target: CompareRequest['target'], entry: KeyValue): bigint {
  switch (target) {
    case 'version':
      return entry.version;
    case 'create':
      return entry.createRevision;
    case 'mod':
      return entry.modRevision;
    case 'lease':
      return entry.lease;
    case 'value':
      return 0n;
  }
}
