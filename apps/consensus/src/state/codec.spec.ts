import fc from 'fast-check';
import type { Authority } from './auth/authority';
import { decodeCommand, encodeCommand } from './command-codec';
import { ETCD_ERRORS, isEtcdErrorName } from './errors';
import type { Alarm, Command, OperationRequest } from './requests';
import { decodeResult, encodeResult } from './result-codec';
import type { ApplyResult, OperationResult } from './results';

const bytes = fc.uint8Array({ maxLength: 300 }).map((each) => Buffer.from(each));
const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const flag = fc.boolean();

const put = fc.record({
  kind: fc.constant('put' as const),
  key: bytes,
  value: bytes,
  lease: int64,
  previous: flag,
  ignoreValue: flag,
  ignoreLease: flag,
});
const deletion = fc.record({
  kind: fc.constant('delete-range' as const),
  key: bytes,
  rangeEnd: bytes,
  previous: flag,
  spareReserved: flag,
});
const range = fc.record({
  kind: fc.constant('range' as const),
  key: bytes,
  rangeEnd: bytes,
  limit: int64,
  revision: int64,
  sortOrder: fc.constantFrom('none' as const, 'ascend' as const, 'descend' as const),
  sortTarget: fc.constantFrom('key' as const, 'version' as const, 'create' as const, 'mod' as const, 'value' as const),
  keysOnly: flag,
  countOnly: flag,
  minModRevision: int64,
  maxModRevision: int64,
  minCreateRevision: int64,
  maxCreateRevision: int64,
});
const compare = fc.record({
  key: bytes,
  rangeEnd: bytes,
  target: fc.constantFrom('version' as const, 'create' as const, 'mod' as const, 'value' as const, 'lease' as const),
  result: fc.constantFrom('equal' as const, 'greater' as const, 'less' as const, 'not-equal' as const),
  operand: fc.oneof(bytes, int64),
});
const { txn } = fc.letrec<{ txn: OperationRequest & { kind: 'txn' }; operation: OperationRequest }>((tie) => ({
  operation: fc.oneof({ maxDepth: 3 }, put, deletion, range, tie('txn')),
  txn: fc.record({
    kind: fc.constant('txn' as const),
    compare: fc.array(compare, { maxLength: 3 }),
    success: fc.array(tie('operation'), { maxLength: 3 }),
    failure: fc.array(tie('operation'), { maxLength: 3 }),
  }),
}));
const alarm: fc.Arbitrary<Alarm> = fc.record({
  member: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  type: fc.constantFrom('none' as const, 'no-space' as const, 'corrupt' as const),
  automatic: flag,
});
const name = fc.string({ unit: 'grapheme', maxLength: 20 });
const permission = fc.record({
  access: fc.constantFrom('read' as const, 'write' as const, 'readwrite' as const),
  key: bytes,
  rangeEnd: bytes,
});
const authCommand: fc.Arbitrary<Command> = fc.oneof(
  fc.record({ kind: fc.constantFrom('auth-enable' as const, 'auth-disable' as const) }),
  fc.record({ kind: fc.constant('user-add' as const), user: name, passwordHash: fc.option(name, { nil: undefined }) }),
  fc.record({ kind: fc.constant('user-change-password' as const), user: name, passwordHash: name }),
  fc.record({ kind: fc.constant('user-delete' as const), user: name }),
  fc.record({ kind: fc.constantFrom('user-grant-role' as const, 'user-revoke-role' as const), user: name, role: name }),
  fc.record({ kind: fc.constantFrom('role-add' as const, 'role-delete' as const), role: name }),
  fc.record({ kind: fc.constant('role-grant' as const), role: name, permission }),
  fc.record({ kind: fc.constant('role-revoke' as const), role: name, key: bytes, rangeEnd: bytes }),
  fc.record({ kind: fc.constant('authenticate' as const), user: name, revision: int64, token: name }),
);
const authority: fc.Arbitrary<Authority> = fc.oneof(
  fc.record({ kind: fc.constantFrom('nobody' as const, 'member' as const) }),
  fc.record({ kind: fc.constant('user' as const), name, revision: int64 }),
);
const command: fc.Arbitrary<Command> = fc.oneof(
  authCommand,
  put,
  deletion,
  txn,
  fc.record({ kind: fc.constant('compact' as const), revision: int64 }),
  fc.record({ kind: fc.constant('compact-step' as const), events: fc.integer({ min: 0, max: 2 ** 31 }) }),
  fc.record({ kind: fc.constant('lease-grant' as const), id: int64, ttlSeconds: int64 }),
  fc.record({ kind: fc.constant('lease-revoke' as const), id: int64 }),
  fc
    .tuple(alarm, fc.constantFrom('raise' as const, 'clear' as const))
    .map(([each, action]) => ({ kind: 'alarm' as const, action, ...each })),
  fc.record({
    kind: fc.constant('lease-checkpoint' as const),
    leases: fc.array(fc.record({ id: int64, remainingSeconds: int64 }), { maxLength: 3 }),
  }),
  fc.record({ kind: fc.constant('check-state' as const), start: bytes, entries: fc.integer({ min: 0, max: 2 ** 31 }) }),
);

const entry = fc.record({
  key: bytes,
  value: bytes,
  createRevision: int64,
  modRevision: int64,
  version: int64,
  lease: int64,
});
const simpleResult = fc.oneof(
  fc.record({ kind: fc.constant('put' as const), revision: int64, previous: fc.option(entry, { nil: undefined }) }),
  fc.record({ kind: fc.constant('delete-range' as const), revision: int64, deleted: int64, previous: fc.array(entry) }),
);
const rangeResult = fc.record({
  kind: fc.constant('range' as const),
  revision: int64,
  entries: fc.array(entry, { maxLength: 3 }),
  more: flag,
  count: int64,
});
const { txnResult } = fc.letrec<{ txnResult: OperationResult & { kind: 'txn' }; operation: OperationResult }>(
  (tie) => ({
    operation: fc.oneof({ maxDepth: 3 }, simpleResult, rangeResult, tie('txnResult')),
    txnResult: fc.record({
      kind: fc.constant('txn' as const),
      revision: int64,
      succeeded: flag,
      responses: fc.array(tie('operation'), { maxLength: 3 }),
    }),
  }),
);
const result: fc.Arbitrary<ApplyResult> = fc.oneof(
  simpleResult,
  txnResult,
  fc.record({
    kind: fc.constantFrom(
      'compacted' as const,
      'lease-revoked' as const,
      'lease-checkpointed' as const,
      'auth-changed' as const,
    ),
    revision: int64,
  }),
  fc.record({ kind: fc.constant('compact-step' as const), revision: int64, finished: flag }),
  fc.record({ kind: fc.constant('lease-granted' as const), revision: int64, id: int64, ttlSeconds: int64 }),
  fc.record({ kind: fc.constant('alarms' as const), revision: int64, alarms: fc.array(alarm, { maxLength: 3 }) }),
  fc.record({
    kind: fc.constant('state-checked' as const),
    revision: int64,
    next: fc.option(
      bytes.filter(({ length }) => length > 0),
      { nil: undefined },
    ),
  }),
  fc.record({
    kind: fc.constant('refused' as const),
    revision: int64,
    error: fc.constantFrom(...Object.keys(ETCD_ERRORS).filter(isEtcdErrorName)),
  }),
);

it('reads every command as it was written, and on whose behalf', () => {
  fc.assert(
    fc.property(command, authority, (each, by) =>
      expect(decodeCommand(encodeCommand(each, by))).toEqual({ command: each, authority: by }),
    ),
  );
});

// Logs of before there were users hold nothing else.
it('writes a command of nobody in particular as ever', () => {
  expect(encodeCommand({ kind: 'lease-revoke', id: 1n }).toString('hex')).toBe('070000000000000001');
});

it('reads every result as it was written', () => {
  fc.assert(fc.property(result, (each) => expect(decodeResult(encodeResult(each))).toEqual(each)));
});

it('refuses bytes that are cut short or too long', () => {
  fc.assert(
    fc.property(command, authority, (each, by) => {
      const whole = encodeCommand(each, by);
      expect(() => decodeCommand(whole.subarray(0, -1))).toThrow('malformed');
      expect(() => decodeCommand(Buffer.concat([whole, Buffer.from([0])]))).toThrow('malformed');
    }),
  );
});
