import { unreachable } from '@synod/invariant';
import type { Decision, ShardId, Timestamp, TxnHandle, Work } from '@synod/two-phase-commit';
import { ByteReader, ByteWriter } from './bytes';
import { keyBytes, keyText } from './key-text';
import {
  laterRelease,
  readAttempt,
  readDecision,
  readHandle,
  readShards,
  readValue,
  writeAttempt,
  writeDecision,
  writeHandle,
  writeShards,
  writeValue,
  type Value,
} from './row-codec';

/** What a shard's log holds. A command repeats every check when it is applied: the leader's own checks only save log entries. */
export type ShardCommand =
  | { readonly kind: 'prepare'; readonly work: Work<Value>; readonly prepTs: Timestamp }
  | { readonly kind: 'commit-one-phase'; readonly work: Work<Value>; readonly commitTs: Timestamp }
  | {
      readonly kind: 'decide';
      readonly txn: TxnHandle;
      readonly proposal: Decision;
      readonly participants: readonly ShardId[];
    }
  | { readonly kind: 'resolve'; readonly txn: TxnHandle; readonly outcome: Decision };

/** First byte of each command, for good: a number is never given to another command. */
const KIND = { prepare: 1, 'commit-one-phase': 2, decide: 3, resolve: 4 } as const satisfies Record<
  ShardCommand['kind'],
  number
>;

export function encodeCommand(command: ShardCommand): Buffer {
  const to = new ByteWriter().u8(KIND[command.kind]);
  switch (command.kind) {
    case 'prepare':
      writeWork(to.u64(command.prepTs), command.work);
      break;
    case 'commit-one-phase':
      writeWork(to.u64(command.commitTs), command.work);
      break;
    case 'decide':
      writeHandle(to, command.txn);
      writeDecision(to, command.proposal);
      writeShards(to, command.participants);
      break;
    case 'resolve':
      writeHandle(to, command.txn);
      writeDecision(to, command.outcome);
      break;
    default:
      unreachable(command);
  }
  return to.finish();
}

/** @throws {SynodError} `corrupt` for bytes that this release cannot have written */
export function decodeCommand(bytes: Uint8Array): ShardCommand {
  const from = new ByteReader(bytes, 'shard command');
  const command = readCommand(from);
  from.end();
  return command;
}

function readCommand(from: ByteReader): ShardCommand {
  const kind = from.u8();
  switch (kind) {
    case KIND.prepare: {
      const prepTs = from.u64();
      return { kind: 'prepare', work: readWork(from), prepTs };
    }
    case KIND['commit-one-phase']: {
      const commitTs = from.u64();
      return { kind: 'commit-one-phase', work: readWork(from), commitTs };
    }
    case KIND.decide:
      return { kind: 'decide', txn: readHandle(from), proposal: readDecision(from), participants: readShards(from) };
    case KIND.resolve:
      return { kind: 'resolve', txn: readHandle(from), outcome: readDecision(from) };
    default:
      throw laterRelease('shard command', kind);
  }
}

function writeWork(to: ByteWriter, work: Work<Value>): void {
  writeAttempt(to, work.attempt);
  to.u32(work.reads.length);
  for (const { key, version } of work.reads) to.u16(key.length).raw(keyBytes(key)).u64(version);
  to.u32(work.writes.length);
  for (const { key, value } of work.writes) writeValue(to.u16(key.length).raw(keyBytes(key)), value);
}

function readWork(from: ByteReader): Work<Value> {
  const attempt = readAttempt(from);
  const key = (): string => keyText(from.raw(from.u16()));
  const reads = Array.from({ length: from.u32() }, () => ({ key: key(), version: from.u64() }));
  const writes = Array.from({ length: from.u32() }, () => ({ key: key(), value: readValue(from) }));
  return { attempt, reads, writes };
}
