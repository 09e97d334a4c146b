import fc from 'fast-check';

const names = ['root', 'ann', 'bob', 'cy', ''] as const;
const roleNames = ['root', 'r1', 'r2', ''] as const;
/** Whose token a call carries: one of a user that was handed out before, none, or one that nobody handed out. */
const callers = ['root', 'root', 'root', 'ann', 'ann', 'bob', 'bob', 'cy', 'nobody', 'forger'] as const;

const name = fc.constantFrom(...names);
const roleName = fc.constantFrom(...roleNames);
const password = fc.constantFrom('right', 'right', 'right', 'wrong');
/** Without `range_end`: etcd takes an empty one on the wire for another thing. */
const point = fc.constantFrom('a', 'b', 'c').map((key) => ({ key: Buffer.from(key) }));
const range = fc.oneof(
  point,
  fc
    .constantFrom(['a', 'b'], ['a', 'c'], ['b', 'd'], ['a', '\0'], ['b', '\0'], ['A', '\0'], ['a', 'aa'])
    .map(([key = '', rangeEnd = '']) => ({ key: Buffer.from(key), rangeEnd: Buffer.from(rangeEnd) })),
);
const permType = fc.constantFrom('READ' as const, 'WRITE' as const, 'READWRITE' as const);

const rangeRequest = range;
const putRequest = fc
  .record({ at: point, value: fc.constantFrom('1', '2'), lease: fc.constantFrom(0, 0, 0, 1, 2), prevKv: fc.boolean() })
  .map(({ at, value, lease, prevKv }) => ({ key: at.key, value: Buffer.from(value), lease, prevKv }));
const deleteRequest = fc.record({ at: range, prevKv: fc.boolean() }).map(({ at, prevKv }) => ({ ...at, prevKv }));
/** Releases of etcd before 3.4.44 let what a put inside a transaction shows, and the lease it joins, pass unseen. */
const plainPut = putRequest.map((request) => ({ ...request, lease: 0, prevKv: false }));
const operation = fc.oneof(
  rangeRequest.map((requestRange) => ({ requestRange })),
  plainPut.map((requestPut) => ({ requestPut })),
  // Open-ended deletions escape its search for keys that are written twice.
  deleteRequest
    .filter((request) => !('rangeEnd' in request) || !request.rangeEnd.equals(Buffer.from([0])))
    .map((requestDeleteRange) => ({ requestDeleteRange })),
);
const comparison = range.map((at) => ({ ...at, target: 'VERSION' as const, result: 'GREATER' as const, version: 0 }));
const txnRequest = fc.record({
  compare: fc.array(comparison, { maxLength: 1 }),
  success: fc.array(operation, { maxLength: 2 }),
  failure: fc.array(operation, { maxLength: 2 }),
});

const request = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('authenticate' as const), name, password }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'enable' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'disable' as const }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('user-add' as const),
      name,
      password,
      noPassword: fc.nat(5).map((n) => n === 0),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('user-delete' as const), name }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('user-password' as const), name, password }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('user-grant' as const), name, role: roleName }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('user-revoke' as const), name, role: roleName }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('user-get' as const), name: fc.constantFrom('root', 'ann', 'bob', 'cy') }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'user-list' as const }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('role-add' as const), role: roleName }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('role-delete' as const), role: roleName }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('role-get' as const), role: fc.constantFrom('r1', 'r2', '') }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'role-list' as const }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('role-grant' as const), role: roleName, permType, range }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('role-revoke' as const), role: roleName, range }) },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('range' as const), request: rangeRequest }) },
  { weight: 10, arbitrary: fc.record({ kind: fc.constant('put' as const), request: putRequest }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('delete' as const), request: deleteRequest }) },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('txn' as const), request: txnRequest }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('grant-lease' as const), id: fc.constantFrom(1, 2) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('revoke-lease' as const), id: fc.constantFrom(1, 2) }) },
);

export type AuthRequest = typeof request extends fc.Arbitrary<infer T> ? T : never;

/** A call to the Auth service, or one that it lets through or not. */
export const authCalls = fc.record({ by: fc.constantFrom(...callers), request });
export type AuthCall = typeof authCalls extends fc.Arbitrary<infer T> ? T : never;

const at = (key: string, rangeEnd: string) => ({ key: Buffer.from(key), rangeEnd: Buffer.from(rangeEnd) });

/** Where the calls begin: some users with some roles, checked, and their tokens. */
export const PRELUDE: readonly AuthCall[] = (
  [
    { kind: 'user-add', name: 'root', password: 'right', noPassword: false },
    { kind: 'role-add', role: 'root' },
    { kind: 'user-grant', name: 'root', role: 'root' },
    { kind: 'user-add', name: 'ann', password: 'right', noPassword: false },
    { kind: 'user-add', name: 'bob', password: 'right', noPassword: false },
    { kind: 'role-add', role: 'r1' },
    { kind: 'role-add', role: 'r2' },
    { kind: 'role-grant', role: 'r1', permType: 'READWRITE', range: at('a', 'b') },
    { kind: 'role-grant', role: 'r2', permType: 'READ', range: at('b', 'd') },
    { kind: 'user-grant', name: 'ann', role: 'r1' },
    { kind: 'user-grant', name: 'bob', role: 'r2' },
    { kind: 'enable' },
    { kind: 'authenticate', name: 'root', password: 'right' },
    { kind: 'authenticate', name: 'ann', password: 'right' },
    { kind: 'authenticate', name: 'bob', password: 'right' },
  ] as const satisfies readonly AuthRequest[]
).map((each) => ({ by: 'nobody', request: each }));
