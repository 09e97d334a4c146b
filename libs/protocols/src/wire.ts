import { required, type storageV1 } from '@synod/contracts';
import type { ErrorKind } from '@synod/runtime';
import type { RemoteError } from './storage';
import type { ReadVersion, TxnAttempt, TxnHandle, TxnOutcome, TxnRecord, Write } from './transaction';

// Domain values to their messages in protos/synod/storage/v1/storage.proto and back. 64-bit integers are decimal strings there.

export function handleFromWire(handle: storageV1.TxnHandle__Output | null | undefined): TxnHandle {
  const { id, anchor } = required(handle, 'txn');
  return { id, anchor };
}

export function attemptToWire({ txn, attempt, priority }: TxnAttempt): storageV1.TxnAttempt {
  return { txn, attempt, priority: priority.toString() };
}

export function attemptFromWire(message: storageV1.TxnAttempt__Output | null | undefined): TxnAttempt {
  const { txn, attempt, priority } = required(message, 'attempt');
  return { txn: handleFromWire(txn), attempt, priority: BigInt(priority) };
}

export function readVersionToWire({ key, version }: ReadVersion): storageV1.ReadVersion {
  return { key, version: version.toString() };
}

export function readVersionFromWire({ key, version }: storageV1.ReadVersion__Output): ReadVersion {
  return { key, version: BigInt(version) };
}

export function writeToWire({ key, value }: Write): storageV1.Write {
  return value === undefined ? { key } : { key, value };
}

export function writeFromWire({ key, value, _value }: storageV1.Write__Output): Write {
  return { key, value: _value === undefined ? undefined : value };
}

export function recordToWire(record: TxnRecord): storageV1.TxnRecord {
  switch (record.state) {
    case 'none':
      return { state: 'STATE_NONE' };
    case 'committed':
      return { state: 'STATE_COMMITTED', attempt: record.attempt, commitTs: record.commitTs.toString() };
    case 'aborted':
      return { state: 'STATE_ABORTED', attempt: record.attempt };
  }
}

export function recordFromWire(message: storageV1.TxnRecord__Output | null | undefined): TxnRecord {
  const { state, attempt, commitTs } = required(message, 'record');
  switch (state) {
    case 'STATE_NONE':
      return { state: 'none' };
    case 'STATE_COMMITTED':
      return { state: 'committed', attempt, commitTs: BigInt(commitTs) };
    case 'STATE_ABORTED':
      return { state: 'aborted', attempt };
    case 'STATE_UNSPECIFIED':
      throw new TypeError('the transaction record has no state that this release knows');
  }
}

export function outcomeFromWire(message: storageV1.TxnRecord__Output | null | undefined): TxnOutcome {
  const record = recordFromWire(message);
  if (record.state === 'none') throw new TypeError('an outcome decides something');
  return record;
}

export function errorToWire({ kind, message, hint }: RemoteError): storageV1.Error {
  return { kind, message, hint: hint ?? '' };
}

const KINDS: ReadonlySet<string> = new Set<ErrorKind>([
  'invalid-argument',
  'not-found',
  'already-exists',
  'failed-precondition',
  'permission-denied',
  'conflict',
  'not-leader',
  'wrong-shard',
  'unavailable',
  'overloaded',
  'outcome-unknown',
  'corrupt',
  'unimplemented',
]);

export function errorFromWire(error: storageV1.Error__Output | null | undefined): RemoteError {
  const { kind, message, hint } = required(error, 'error');
  // A kind of a later release says nothing about the effect, so neither do we.
  const known = KINDS.has(kind) ? (kind as ErrorKind) : 'outcome-unknown';
  return hint === '' ? { kind: known, message } : { kind: known, message, hint };
}
