import { SynodError } from '@synod/runtime';
import { readAlarm, writeAlarm } from './alarm-codec';
import { ByteReader, ByteWriter } from './bytes';
import { isEtcdErrorName } from './errors';
import type { KeyValue } from './requests';
import type { ApplyResult, OperationResult } from './results';

/** The kind bytes of results as they travel from the leader to the member that a client asked; they are never stored. */
const KIND = {
  put: 1,
  'delete-range': 2,
  txn: 3,
  compacted: 4,
  'compact-step': 5,
  'lease-granted': 6,
  'lease-revoked': 7,
  range: 8,
  refused: 9,
  alarms: 40,
  'lease-checkpointed': 41,
  'state-checked': 42,
  'auth-changed': 64,
} as const satisfies Record<ApplyResult['kind'] | OperationResult['kind'], number>;

const NOTHING = Buffer.alloc(0);

export function encodeResult(result: ApplyResult): Buffer {
  const fields = new ByteWriter();
  writeResult(fields, result);
  return fields.finish();
}

/** @throws {SynodError} `corrupt` on bytes that `encodeResult` of this release cannot have made */
export function decodeResult(bytes: Uint8Array): ApplyResult {
  const fields = new ByteReader(bytes);
  const result = readResult(fields);
  fields.end();
  if (result.kind === 'range') throw malformed('a range is no result of a command');
  return result;
}

function writeResult(fields: ByteWriter, result: ApplyResult | OperationResult): void {
  fields.byte(KIND[result.kind]).int64(result.revision);
  switch (result.kind) {
    case 'put':
      writeEntries(fields, result.previous === undefined ? [] : [result.previous]);
      break;
    case 'delete-range':
      fields.int64(result.deleted);
      writeEntries(fields, result.previous);
      break;
    case 'range':
      fields.int64(result.count).byte(result.more ? 1 : 0);
      writeEntries(fields, result.entries);
      break;
    case 'txn':
      fields.byte(result.succeeded ? 1 : 0).varint(result.responses.length);
      for (const response of result.responses) writeResult(fields, response);
      break;
    case 'compact-step':
      fields.byte(result.finished ? 1 : 0);
      break;
    case 'lease-granted':
      fields.int64(result.id).int64(result.ttlSeconds);
      break;
    case 'refused':
      fields.blob(Buffer.from(result.error));
      break;
    case 'alarms':
      fields.varint(result.alarms.length);
      for (const alarm of result.alarms) writeAlarm(fields, alarm);
      break;
    case 'state-checked':
      fields.blob(result.next ?? NOTHING);
      break;
    case 'compacted':
    case 'lease-revoked':
    case 'lease-checkpointed':
    case 'auth-changed':
      break;
  }
}

function readResult(fields: ByteReader): ApplyResult | OperationResult {
  const kind = fields.byte();
  const revision = fields.int64();
  switch (kind) {
    case KIND.put:
      return { kind: 'put', revision, previous: readEntries(fields)[0] };
    case KIND['delete-range']:
      return { kind: 'delete-range', revision, deleted: fields.int64(), previous: readEntries(fields) };
    case KIND.range: {
      const count = fields.int64();
      const more = fields.byte() === 1;
      return { kind: 'range', revision, count, more, entries: readEntries(fields) };
    }
    case KIND.txn: {
      const succeeded = fields.byte() === 1;
      const responses = Array.from({ length: fields.varint() }, () => readOperationResult(fields));
      return { kind: 'txn', revision, succeeded, responses };
    }
    case KIND.compacted:
      return { kind: 'compacted', revision };
    case KIND['compact-step']:
      return { kind: 'compact-step', revision, finished: fields.byte() === 1 };
    case KIND['lease-granted']:
      return { kind: 'lease-granted', revision, id: fields.int64(), ttlSeconds: fields.int64() };
    case KIND['lease-revoked']:
      return { kind: 'lease-revoked', revision };
    case KIND['lease-checkpointed']:
      return { kind: 'lease-checkpointed', revision };
    case KIND.alarms: {
      const alarms = Array.from({ length: fields.varint() }, () => readAlarm(fields));
      return { kind: 'alarms', revision, alarms };
    }
    case KIND['state-checked']: {
      const next = fields.blob();
      return { kind: 'state-checked', revision, next: next.length === 0 ? undefined : next };
    }
    case KIND['auth-changed']:
      return { kind: 'auth-changed', revision };
    case KIND.refused: {
      const error = fields.blob().toString();
      if (!isEtcdErrorName(error)) throw malformed(`the unknown refusal ${error}`);
      return { kind: 'refused', revision, error };
    }
    default:
      throw malformed(`a result of the unknown kind ${kind}`);
  }
}

function readOperationResult(fields: ByteReader): OperationResult {
  const result = readResult(fields);
  if (result.kind === 'put' || result.kind === 'delete-range' || result.kind === 'range' || result.kind === 'txn') {
    return result;
  }
  throw malformed(`${result.kind} inside a transaction`);
}

function writeEntries(fields: ByteWriter, entries: readonly KeyValue[]): void {
  fields.varint(entries.length);
  for (const entry of entries) {
    fields.blob(entry.key).blob(entry.value).int64(entry.createRevision).int64(entry.modRevision);
    fields.int64(entry.version).int64(entry.lease);
  }
}

function readEntries(fields: ByteReader): KeyValue[] {
  return Array.from({ length: fields.varint() }, () => ({
    key: fields.blob(),
    value: fields.blob(),
    createRevision: fields.int64(),
    modRevision: fields.int64(),
    version: fields.int64(),
    lease: fields.int64(),
  }));
}

function malformed(detail: string): SynodError {
  return new SynodError('corrupt', `the leader answered with ${detail}; run one release on all members`);
}
