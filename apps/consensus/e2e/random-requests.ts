import type { etcdserverpb } from '@synod/contracts';
import fc from 'fast-check';

/** A call of the API. Revisions are given as steps back from the present one, which is known when the call is made. */
export type Call =
  | { readonly kind: 'range'; readonly request: etcdserverpb.RangeRequest; readonly back: number | undefined }
  | { readonly kind: 'put'; readonly request: etcdserverpb.PutRequest }
  | { readonly kind: 'delete'; readonly request: etcdserverpb.DeleteRangeRequest }
  | { readonly kind: 'txn'; readonly request: etcdserverpb.TxnRequest }
  | { readonly kind: 'compact'; readonly back: number }
  | { readonly kind: 'grant'; readonly request: etcdserverpb.LeaseGrantRequest }
  | { readonly kind: 'revoke'; readonly request: etcdserverpb.LeaseRevokeRequest }
  | { readonly kind: 'leases' };

const key = fc
  .constantFrom('k/', 'k/a', 'k/b', 'k/b/c', 'k/d', 'k/\xff', '')
  .map((text) => Buffer.from(text, 'latin1'));
const someKey = fc.constantFrom('k/a', 'k/b', 'k/b/c', 'k/d').map((text) => Buffer.from(text));
/** Absent rather than empty: etcd's server takes an empty field on the wire for "to the last key". */
const rangeEnd = fc.record(
  { rangeEnd: fc.constantFrom('k0', 'k/b', 'k/c').map((text) => Buffer.from(text)) },
  { requiredKeys: [] },
);

function ranged<T extends object>(request: fc.Arbitrary<T>): fc.Arbitrary<T & { readonly rangeEnd?: Buffer }> {
  return fc.tuple(request, rangeEnd).map(([fields, end]) => ({ ...fields, ...end }));
}

const value = fc.constantFrom('', 'x', 'y', 'longer').map((text) => Buffer.from(text));
const lease = fc.constantFrom('0', '0', '0', '71', '72', '79');
const flag = fc.constantFrom(false, false, true);
const small = fc.constantFrom(0, 0, 1, 2, 3, -1);

const plainRange = ranged(fc.record({ key, keysOnly: flag, countOnly: flag, limit: small }));
/** Compacted long ago, or far in the future. */
const strangeRange = fc.record({ key: someKey, revision: fc.constantFrom('1', '999999') });
/** What etcd leaves open is left out: the order of equals, and a limit among them. */
const sortedRange = ranged(
  fc.record({
    key,
    keysOnly: flag,
    countOnly: flag,
    limit: small,
    sortOrder: fc.constantFrom('NONE' as const, 'ASCEND' as const, 'DESCEND' as const),
    sortTarget: fc.constant('KEY' as const),
  }),
);
const put = fc.record({ key, value, lease, prevKv: flag, ignoreValue: flag, ignoreLease: flag });
const deletion = ranged(fc.record({ key, prevKv: flag }));
const compare = ranged(
  fc.oneof(
    fc.record({
      key,
      result: fc.constantFrom('EQUAL' as const, 'GREATER' as const, 'LESS' as const, 'NOT_EQUAL' as const),
      target: fc.constant('VERSION' as const),
      version: fc.constantFrom('0', '1', '2'),
    }),
    fc.record({
      key: someKey,
      result: fc.constantFrom('EQUAL' as const, 'GREATER' as const, 'LESS' as const, 'NOT_EQUAL' as const),
      target: fc.constant('VALUE' as const),
      value,
    }),
    fc.record({
      key: someKey,
      result: fc.constantFrom('EQUAL' as const, 'NOT_EQUAL' as const),
      target: fc.constant('LEASE' as const),
      lease,
    }),
    fc.record({
      key: someKey,
      result: fc.constantFrom('EQUAL' as const, 'GREATER' as const),
      target: fc.constant('CREATE' as const),
      createRevision: fc.constant('0'),
    }),
  ),
);
const { txn } = fc.letrec<{ txn: etcdserverpb.TxnRequest; operation: etcdserverpb.RequestOp }>((tie) => ({
  operation: fc.oneof(
    { maxDepth: 2 },
    fc.record({ requestPut: fc.record({ key: someKey, value, lease, prevKv: flag }) }),
    fc.record({ requestPut: put }),
    fc.record({ requestDeleteRange: deletion }),
    fc.record({ requestRange: plainRange }),
    fc.record({ requestRange: fc.oneof({ weight: 4, arbitrary: plainRange }, { weight: 1, arbitrary: strangeRange }) }),
    fc.record({ requestTxn: tie('txn') }),
  ),
  txn: fc.record({
    compare: fc.array(compare, { maxLength: 2 }),
    success: fc.array(tie('operation'), { maxLength: 3 }),
    failure: fc.array(tie('operation'), { maxLength: 3 }),
  }),
}));
const leaseId = fc.constantFrom('71', '72', '79');

/** Calls that meet each other on few keys and few leases. */
export const calls: fc.Arbitrary<Call> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('range' as const),
      request: fc.oneof(plainRange, sortedRange),
      back: fc.option(fc.integer({ min: -1, max: 12 }), { nil: undefined, freq: 3 }),
    }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('put' as const), request: put }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('delete' as const), request: deletion }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('txn' as const), request: txn }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('compact' as const), back: fc.integer({ min: -1, max: 9 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('grant' as const),
      request: fc.record({ ID: leaseId, TTL: fc.constantFrom('600', '601', '9000000001') }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('revoke' as const), request: fc.record({ ID: leaseId }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('leases' as const) }) },
);
