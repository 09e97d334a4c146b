import { SynodError } from '@synod/runtime';
import type { Ballot, Instance, ReplicaId, ReplicaRecord, Value } from '@synod/paxos';
import type { Founding, GroupId, Member } from './api';

/**
 * What the write-ahead log holds of a group, by kind byte. A number is never given a second meaning: logs outlive releases.
 * All integers are big-endian; a ballot is round u32, replica u32; an instance is u48; a value is a count u32, then for each command
 * its size u32 and its bytes.
 */
export const RECORD_KIND = {
  founded: 1,
  promised: 2,
  voted: 3,
  learned: 4,
  truncated: 5,
  kept: 6,
  granted: 7,
  destroyed: 16,
} as const;

/** A record of the log as the replica host sees it. */
export type GroupRecord =
  | ReplicaRecord
  | { readonly kind: 'founded'; readonly members: readonly Member[] }
  /** The tombstone of a replica that was removed from its group: it never runs here again. */
  | { readonly kind: 'destroyed'; readonly replicaId: ReplicaId };

/** The bytes of a record, to be stored under `RECORD_KIND[record.kind]`. */
export function encodeGroupRecord(record: GroupRecord): Buffer {
  switch (record.kind) {
    case 'founded':
      return Buffer.from(JSON.stringify(record.members));
    case 'destroyed': {
      const bytes = Buffer.allocUnsafe(4);
      bytes.writeUInt32BE(record.replicaId);
      return bytes;
    }
    case 'promised': {
      const bytes = Buffer.allocUnsafe(8);
      writeBallot(bytes, 0, record.ballot);
      return bytes;
    }
    case 'granted': {
      const bytes = Buffer.allocUnsafe(6);
      bytes.writeUIntBE(record.holdUs, 0, 6);
      return bytes;
    }
    case 'truncated': {
      const bytes = Buffer.allocUnsafe(6);
      bytes.writeUIntBE(record.through, 0, 6);
      return bytes;
    }
    case 'voted':
    case 'kept': {
      const bytes = Buffer.allocUnsafe(14 + valueSize(record.value));
      bytes.writeUIntBE(record.instance, 0, 6);
      writeBallot(bytes, 6, record.ballot);
      writeValue(bytes, 14, record.value);
      return bytes;
    }
    case 'learned': {
      const bytes = Buffer.allocUnsafe(6 + valueSize(record.value));
      bytes.writeUIntBE(record.instance, 0, 6);
      writeValue(bytes, 6, record.value);
      return bytes;
    }
  }
}

/**
 * @param payload is kept: values are views into it
 * @throws {SynodError} `corrupt` for an unknown kind: a later release wrote this log, and guessing would forget its promises
 */
export function decodeGroupRecord(group: GroupId, kind: number, payload: Buffer): GroupRecord {
  switch (kind) {
    case RECORD_KIND.founded:
      return { kind: 'founded', members: JSON.parse(payload.toString()) as Founding['members'] };
    case RECORD_KIND.destroyed:
      return { kind: 'destroyed', replicaId: payload.readUInt32BE() };
    case RECORD_KIND.promised:
      return { kind: 'promised', ballot: readBallot(payload, 0) };
    case RECORD_KIND.granted:
      return { kind: 'granted', holdUs: payload.readUIntBE(0, 6) };
    case RECORD_KIND.truncated:
      return { kind: 'truncated', through: readInstance(payload, 0) };
    case RECORD_KIND.voted:
    case RECORD_KIND.kept:
      return {
        kind: kind === RECORD_KIND.voted ? 'voted' : 'kept',
        instance: readInstance(payload, 0),
        ballot: readBallot(payload, 6),
        value: readValue(payload, 14),
      };
    case RECORD_KIND.learned:
      return { kind: 'learned', instance: readInstance(payload, 0), value: readValue(payload, 6) };
    default:
      throw new SynodError(
        'corrupt',
        `the log holds a record of kind ${kind} for group ${group}, which this release does not know; start the release that wrote it`,
      );
  }
}

function writeBallot(bytes: Buffer, offset: number, ballot: Ballot): void {
  bytes.writeUInt32BE(ballot.round, offset);
  bytes.writeUInt32BE(ballot.replica, offset + 4);
}

function readBallot(bytes: Buffer, offset: number): Ballot {
  return { round: bytes.readUInt32BE(offset), replica: bytes.readUInt32BE(offset + 4) };
}

function readInstance(bytes: Buffer, offset: number): Instance {
  return bytes.readUIntBE(offset, 6);
}

function valueSize(value: Value): number {
  let size = 4;
  for (const command of value) size += 4 + command.length;
  return size;
}

function writeValue(bytes: Buffer, start: number, value: Value): void {
  let offset = bytes.writeUInt32BE(value.length, start);
  for (const command of value) {
    offset = bytes.writeUInt32BE(command.length, offset);
    bytes.set(command, offset);
    offset += command.length;
  }
}

function readValue(bytes: Buffer, start: number): Value {
  const count = bytes.readUInt32BE(start);
  const value: Uint8Array[] = [];
  let offset = start + 4;
  for (let index = 0; index < count; index++) {
    const size = bytes.readUInt32BE(offset);
    value.push(bytes.subarray(offset + 4, offset + 4 + size));
    offset += 4 + size;
  }
  return value;
}
