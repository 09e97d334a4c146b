import { SynodError } from '@synod/runtime';
import { readAlarm, writeAlarm } from './alarm-codec';
import {
  AUTH_KIND,
  authKindOf,
  readAuthCommand,
  readAuthority,
  writeAuthCommand,
  writeAuthority,
} from './auth/auth-codec';
import { NOBODY, type Authority } from './auth/authority';
import { ByteReader, ByteWriter } from './bytes';
import type {
  AlarmChange,
  Command,
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
} from './requests';

/**
 * How commands lie in the log, by kind byte. A number is never given a second meaning: logs outlive releases. A new field needs a new
 * kind, which is proposed only once every member can read it.
 */
const KIND = {
  put: 1,
  'delete-range': 2,
  txn: 3,
  compact: 4,
  'compact-step': 5,
  'lease-grant': 6,
  'lease-revoke': 7,
  // Occurs inside transactions only.
  range: 8,
  alarm: 40,
  'lease-checkpoint': 41,
  'check-state': 42,
  ...AUTH_KIND,
} as const satisfies Record<Command['kind'] | OperationRequest['kind'], number>;

/** Comes before a command that is done on somebody's behalf: who that is. Without it, nobody was named. */
const AUTHORIZED = 64;

// The wire numbers of closed unions: the position in these lists.
const SORT_ORDERS: readonly SortOrder[] = ['none', 'ascend', 'descend'];
const SORT_TARGETS: readonly SortTarget[] = ['key', 'version', 'create', 'mod', 'value'];
const COMPARE_TARGETS: readonly CompareTarget[] = ['version', 'create', 'mod', 'value', 'lease'];
const ALARM_ACTIONS: readonly AlarmChange['action'][] = ['raise', 'clear'];
const COMPARE_RESULTS: readonly CompareResult[] = ['equal', 'greater', 'less', 'not-equal'];

/** What lies in the log. */
export interface Proposal {
  readonly authority: Authority;
  readonly command: Command;
}

export function encodeCommand(command: Command, authority: Authority = NOBODY): Buffer {
  const fields = new ByteWriter();
  if (authority.kind !== 'nobody') writeAuthority(fields.byte(AUTHORIZED), authority);
  switch (command.kind) {
    case 'put':
    case 'delete-range':
    case 'txn':
      writeOperation(fields, command);
      break;
    case 'compact':
      fields.byte(KIND.compact).int64(command.revision);
      break;
    case 'compact-step':
      fields.byte(KIND['compact-step']).varint(command.events);
      break;
    case 'lease-grant':
      fields.byte(KIND['lease-grant']).int64(command.id).int64(command.ttlSeconds);
      break;
    case 'lease-revoke':
      fields.byte(KIND['lease-revoke']).int64(command.id);
      break;
    case 'alarm':
      writeAlarm(fields.byte(KIND.alarm).byte(ALARM_ACTIONS.indexOf(command.action)), command);
      break;
    case 'lease-checkpoint':
      fields.byte(KIND['lease-checkpoint']).varint(command.leases.length);
      for (const { id, remainingSeconds } of command.leases) fields.int64(id).int64(remainingSeconds);
      break;
    case 'check-state':
      fields.byte(KIND['check-state']).blob(command.start).varint(command.entries);
      break;
    default:
      writeAuthCommand(fields, command);
  }
  return fields.finish();
}

/**
 * @param bytes is kept: keys and values are views into it
 * @throws {SynodError} `corrupt` for an unknown kind or malformed bytes: guessing would make this replica differ from the others
 */
export function decodeCommand(bytes: Uint8Array): Proposal {
  const fields = new ByteReader(bytes);
  const first = fields.byte();
  const authority = first === AUTHORIZED ? readAuthority(fields) : NOBODY;
  const command = readCommand(fields, first === AUTHORIZED ? fields.byte() : first);
  fields.end();
  return { authority, command };
}

function readCommand(fields: ByteReader, kind: number): Command {
  switch (kind) {
    case KIND.compact:
      return { kind: 'compact', revision: fields.int64() };
    case KIND['compact-step']:
      return { kind: 'compact-step', events: fields.varint() };
    case KIND['lease-grant']:
      return { kind: 'lease-grant', id: fields.int64(), ttlSeconds: fields.int64() };
    case KIND['lease-revoke']:
      return { kind: 'lease-revoke', id: fields.int64() };
    case KIND.alarm: {
      const action = named(ALARM_ACTIONS, fields.byte());
      return { kind: 'alarm', action, ...readAlarm(fields) };
    }
    case KIND['lease-checkpoint']:
      return {
        kind: 'lease-checkpoint',
        leases: list(fields, (each) => ({ id: each.int64(), remainingSeconds: each.int64() })),
      };
    case KIND['check-state']:
      return { kind: 'check-state', start: fields.blob(), entries: fields.varint() };
    default: {
      const authKind = authKindOf(kind);
      if (authKind !== undefined) return readAuthCommand(fields, authKind);
      const operation = readOperation(fields, kind);
      if (operation.kind === 'range') throw unknownKind(kind);
      return operation;
    }
  }
}

function writeOperation(fields: ByteWriter, operation: OperationRequest): void {
  fields.byte(KIND[operation.kind]);
  switch (operation.kind) {
    case 'put':
      return writePut(fields, operation);
    case 'delete-range':
      return writeDeleteRange(fields, operation);
    case 'range':
      return writeRange(fields, operation);
    case 'txn':
      return writeTxn(fields, operation);
  }
}

function readOperation(fields: ByteReader, kind = fields.byte()): OperationRequest {
  switch (kind) {
    case KIND.put:
      return readPut(fields);
    case KIND['delete-range']:
      return readDeleteRange(fields);
    case KIND.range:
      return readRange(fields);
    case KIND.txn:
      return readTxn(fields);
    default:
      throw unknownKind(kind);
  }
}

function unknownKind(kind: number): SynodError {
  return new SynodError(
    'corrupt',
    `the log holds a coordination command of kind ${kind}, which this release does not know; start the release that wrote it`,
  );
}

function writePut(fields: ByteWriter, request: PutRequest): void {
  fields.byte(flags(request.previous, request.ignoreValue, request.ignoreLease));
  fields.blob(request.key).blob(request.value).int64(request.lease);
}

function readPut(fields: ByteReader): PutRequest {
  const bits = fields.byte();
  return {
    kind: 'put',
    previous: (bits & 1) !== 0,
    ignoreValue: (bits & 2) !== 0,
    ignoreLease: (bits & 4) !== 0,
    key: fields.blob(),
    value: fields.blob(),
    lease: fields.int64(),
  };
}

function writeDeleteRange(fields: ByteWriter, request: DeleteRangeRequest): void {
  fields.byte(flags(request.previous, request.spareReserved)).blob(request.key).blob(request.rangeEnd);
}

function readDeleteRange(fields: ByteReader): DeleteRangeRequest {
  const bits = fields.byte();
  return {
    kind: 'delete-range',
    previous: (bits & 1) !== 0,
    spareReserved: (bits & 2) !== 0,
    key: fields.blob(),
    rangeEnd: fields.blob(),
  };
}

function writeRange(fields: ByteWriter, request: RangeRequest): void {
  fields.byte(flags(request.keysOnly, request.countOnly));
  fields.byte(SORT_ORDERS.indexOf(request.sortOrder)).byte(SORT_TARGETS.indexOf(request.sortTarget));
  fields.blob(request.key).blob(request.rangeEnd).int64(request.limit).int64(request.revision);
  fields.int64(request.minModRevision).int64(request.maxModRevision);
  fields.int64(request.minCreateRevision).int64(request.maxCreateRevision);
}

function readRange(fields: ByteReader): RangeRequest {
  const bits = fields.byte();
  return {
    kind: 'range',
    keysOnly: (bits & 1) !== 0,
    countOnly: (bits & 2) !== 0,
    sortOrder: named(SORT_ORDERS, fields.byte()),
    sortTarget: named(SORT_TARGETS, fields.byte()),
    key: fields.blob(),
    rangeEnd: fields.blob(),
    limit: fields.int64(),
    revision: fields.int64(),
    minModRevision: fields.int64(),
    maxModRevision: fields.int64(),
    minCreateRevision: fields.int64(),
    maxCreateRevision: fields.int64(),
  };
}

function writeTxn(fields: ByteWriter, request: TxnRequest): void {
  fields.varint(request.compare.length);
  for (const compare of request.compare) writeCompare(fields, compare);
  for (const path of [request.success, request.failure]) {
    fields.varint(path.length);
    for (const operation of path) writeOperation(fields, operation);
  }
}

function readTxn(fields: ByteReader): TxnRequest {
  const compare = list(fields, readCompare);
  const success = list(fields, (each) => readOperation(each));
  return { kind: 'txn', compare, success, failure: list(fields, (each) => readOperation(each)) };
}

function writeCompare(fields: ByteWriter, compare: CompareRequest): void {
  fields.byte(COMPARE_TARGETS.indexOf(compare.target)).byte(COMPARE_RESULTS.indexOf(compare.result));
  fields.blob(compare.key).blob(compare.rangeEnd);
  if (typeof compare.operand === 'bigint') fields.byte(0).int64(compare.operand);
  else fields.byte(1).blob(compare.operand);
}

function readCompare(fields: ByteReader): CompareRequest {
  return {
    target: named(COMPARE_TARGETS, fields.byte()),
    result: named(COMPARE_RESULTS, fields.byte()),
    key: fields.blob(),
    rangeEnd: fields.blob(),
    operand: fields.byte() === 0 ? fields.int64() : fields.blob(),
  };
}

function list<T>(fields: ByteReader, read: (fields: ByteReader) => T): T[] {
  return Array.from({ length: fields.varint() }, () => read(fields));
}

function flags(...bits: boolean[]): number {
  return bits.reduce((sum, bit, index) => sum | (bit ? 1 << index : 0), 0);
}

function named<T>(names: readonly T[], index: number): T {
  const name = names[index];
  if (name === undefined) throw new SynodError('corrupt', `a coordination command holds the unknown option ${index}`);
  return name;
}
