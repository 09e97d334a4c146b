import { SynodError } from '@synod/runtime';
import {
  type Decision,
  type Lock,
  type ParticipantState,
  type ShardId,
  type TxnAttempt,
  type TxnHandle,
} from '@synod/two-phase-commit';
import { ByteReader, ByteWriter } from './bytes';
import { keyBytes, keyText } from './key-text';

/** 128 bits. */
const TXN_ID_BYTES = 16;

/** A buffered write's value; absent deletes the key. */
export type Value = Buffer | undefined;

/** A decision record with the shards that voted, as the anchor keeps it. */
export interface StoredDecision {
  readonly record: Decision;
  readonly participants: readonly ShardId[];
}

export function writeHandle(to: ByteWriter, txn: TxnHandle): void {
  to.raw(Buffer.from(txn.id, 'hex')).u16(txn.anchor);
}

/** As row keys have it. */
export function handleBytes(txn: TxnHandle): Buffer {
  const to = new ByteWriter();
  writeHandle(to, txn);
  return to.finish();
}

export function readHandle(from: ByteReader): TxnHandle {
  return { id: from.raw(TXN_ID_BYTES).toString('hex'), anchor: from.u16() };
}

export function writeAttempt(to: ByteWriter, { txn, attempt, priority }: TxnAttempt): void {
  writeHandle(to, txn);
  to.u32(attempt).u64(priority);
}

export function readAttempt(from: ByteReader): TxnAttempt {
  return { txn: readHandle(from), attempt: from.u32(), priority: from.u64() };
}

export function writeDecision(to: ByteWriter, decision: Decision): void {
  switch (decision.state) {
    case 'committed':
      to.u8(1).u32(decision.attempt).u64(decision.commitTs);
      return;
    case 'aborted':
      to.u8(2).u32(decision.attempt);
      return;
  }
}

export function readDecision(from: ByteReader): Decision {
  const kind = from.u8();
  if (kind === 1) return { state: 'committed', attempt: from.u32(), commitTs: from.u64() };
  if (kind === 2) return { state: 'aborted', attempt: from.u32() };
  throw laterRelease('decision', kind);
}

export function writeShards(to: ByteWriter, shards: readonly ShardId[]): void {
  to.u16(shards.length);
  for (const shard of shards) to.u16(shard);
}

export function readShards(from: ByteReader): ShardId[] {
  return Array.from({ length: from.u16() }, () => from.u16());
}

export function writeValue(to: ByteWriter, value: Value): void {
  if (value === undefined) to.u8(0);
  else to.u8(1).bytes(value);
}

export function readValue(from: ByteReader): Value {
  const kind = from.u8();
  if (kind === 0) return undefined;
  if (kind === 1) return from.bytes();
  throw laterRelease('value', kind);
}

function writeLock(to: ByteWriter, lock: Lock): void {
  writeAttempt(to, lock);
  to.u64(lock.prepTs);
}

function readLock(from: ByteReader): Lock {
  return { ...readAttempt(from), prepTs: from.u64() };
}

export function encodeIntent(lock: Lock, value: Value): Buffer {
  const to = new ByteWriter();
  writeLock(to, lock);
  writeValue(to, value);
  return to.finish();
}

export function decodeIntent(row: Uint8Array): { lock: Lock; value: Value } {
  const from = new ByteReader(row, 'write intent');
  const intent = { lock: readLock(from), value: readValue(from) };
  from.end();
  return intent;
}

/** The shared locks of one key, all holders in one row: few transactions share a key at the moment of their commit. */
export function encodeSharedLocks(locks: readonly Lock[]): Buffer {
  const to = new ByteWriter().u32(locks.length);
  for (const lock of locks) writeLock(to, lock);
  return to.finish();
}

export function decodeSharedLocks(row: Uint8Array): Lock[] {
  const from = new ByteReader(row, 'row of shared locks');
  const locks = Array.from({ length: from.u32() }, () => readLock(from));
  from.end();
  return locks;
}

export function encodePrepared(state: ParticipantState & { phase: 'prepared' }): Buffer {
  const to = new ByteWriter();
  writeLock(to, state.lock);
  for (const keys of [state.exclusive, state.shared]) {
    to.u32(keys.length);
    for (const key of keys) to.u16(key.length).raw(keyBytes(key));
  }
  return to.finish();
}

export function decodePrepared(row: Uint8Array): ParticipantState & { phase: 'prepared' } {
  const from = new ByteReader(row, 'prepared participation');
  const keys = (): string[] => Array.from({ length: from.u32() }, () => keyText(from.raw(from.u16())));
  const state = { phase: 'prepared', lock: readLock(from), exclusive: keys(), shared: keys() } as const;
  from.end();
  return state;
}

export function encodeDecision(decision: Decision): Buffer {
  const to = new ByteWriter();
  writeDecision(to, decision);
  return to.finish();
}

export function decodeDecision(row: Uint8Array): Decision {
  const from = new ByteReader(row, 'decision');
  const decision = readDecision(from);
  from.end();
  return decision;
}

export function encodeStoredDecision({ record, participants }: StoredDecision): Buffer {
  const to = new ByteWriter();
  writeDecision(to, record);
  writeShards(to, participants);
  return to.finish();
}

export function decodeStoredDecision(row: Uint8Array): StoredDecision {
  const from = new ByteReader(row, 'decision record');
  const stored = { record: readDecision(from), participants: readShards(from) };
  from.end();
  return stored;
}

export function laterRelease(what: string, kind: number): SynodError {
  return new SynodError(
    'corrupt',
    `${what} kind ${kind} is not known here: it was written by a later release of Synod, run that`,
  );
}
