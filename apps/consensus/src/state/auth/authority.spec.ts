import fc from 'fast-check';
import { compare, get, put, remove, StateBench, txn, under } from '../../testing/state-bench';
import type { Command, OperationRequest } from '../requests';
import { spanIncludes, spanOf } from '../span';
import type { Access } from './auth-space';
import { MEMBER, NOBODY, type Authority } from './authority';
import { Grants } from './grants';

class Bench extends StateBench {
  constructor() {
    super();
    this.grant('all', 'readwrite', 'all/', 'all0');
    this.grant('look', 'read', 'look/', 'look0');
    this.grant('drop', 'write', 'drop/', 'drop0');
    this.apply({ kind: 'user-add', user: 'root', passwordHash: 'h' });
    this.apply({ kind: 'user-grant-role', user: 'root', role: 'root' });
    this.apply({ kind: 'user-add', user: 'ann', passwordHash: 'h' });
    for (const role of ['all', 'look', 'drop']) this.apply({ kind: 'user-grant-role', user: 'ann', role });
    this.apply({ kind: 'auth-enable' });
  }

  grant(role: string, access: Access, key: string, rangeEnd: string): void {
    const by = this.machine.authSpace.meta(this.store).enabled ? MEMBER : NOBODY;
    this.apply({ kind: 'role-add', role }, by);
    const permission = { access, key: Buffer.from(key), rangeEnd: Buffer.from(rangeEnd) };
    this.apply({ kind: 'role-grant', role, permission }, by);
  }

  user(name: string): Authority {
    return { kind: 'user', name, revision: this.machine.authSpace.meta(this.store).revision };
  }

  /** What somebody's command comes to. */
  as(authority: Authority, command: Command): string {
    const result = this.apply(command, authority);
    return result.kind === 'refused' ? result.error : 'done';
  }

  /** What somebody's read comes to. */
  asks(authority: Authority, request: OperationRequest): string {
    return this.machine.authorities.refuseOperation(this.store, authority, request) ?? 'done';
  }
}

const DENIED = 'permission-denied';

it('lets users do with keys what their roles say', () => {
  const bench = new Bench();
  const ann = bench.user('ann');
  expect(
    [put('all/x', '1'), put('drop/x', '1'), put('look/x', '1'), put('else', '1')].map((c) => bench.as(ann, c)),
  ).toEqual(['done', 'done', DENIED, DENIED]);
  expect([get('all/x'), get('look/x'), get('drop/x'), get('else')].map((r) => bench.asks(ann, r))).toEqual([
    'done',
    'done',
    DENIED,
    DENIED,
  ]);
  expect([under('all/'), under('al'), under('look/x')].map((r) => bench.asks(ann, r))).toEqual([
    'done',
    DENIED,
    'done',
  ]);
  expect(
    [remove('drop/', 'drop0'), remove('drop/', 'drop1'), remove('all/', '\0')].map((c) => bench.as(ann, c)),
  ).toEqual(['done', DENIED, DENIED]);
});

it('asks for the right to read of a write that shows what was there', () => {
  const bench = new Bench();
  const ann = bench.user('ann');
  expect(bench.as(ann, put('drop/x', '1', { previous: true }))).toBe(DENIED);
  expect(bench.as(ann, { ...remove('drop/x'), previous: true })).toBe(DENIED);
  expect(bench.as(ann, put('all/x', '1', { previous: true }))).toBe('done');
});

// GHSA-rfx7-8w68-q57q (nested), GHSA-x35m-3gp4-4fh5 (prev_kv and lease of a put inside).
it('judges everything that a transaction could do, at any depth, on either path', () => {
  const bench = new Bench();
  const ann = bench.user('ann');
  const never = compare('all/x', 'version', 'greater', 99n);
  const outcomes = [
    txn([compare('else', 'version', 'equal', 0n)], []),
    txn([never], [put('else', '1')], []),
    txn([never], [], [txn([], [txn([], [put('else', '1')])])]),
    txn([], [put('drop/x', '1', { previous: true })]),
    txn([], [get('drop/x')]),
    txn([compare('look/x', 'version', 'equal', 0n)], [put('all/x', '1'), get('look/x')]),
  ].map((command) => bench.as(ann, command));
  expect(outcomes).toEqual([DENIED, DENIED, DENIED, DENIED, DENIED, 'done']);
});

// CVE-2026-33343 and its kin: a lease is a way to delete the keys that it holds.
it('lets nobody end, share or look into a lease that holds keys that are not theirs', () => {
  const bench = new Bench();
  const ann = bench.user('ann');
  bench.apply({ kind: 'lease-grant', id: 1n, ttlSeconds: 60n }, MEMBER);
  bench.apply({ kind: 'lease-grant', id: 2n, ttlSeconds: 60n }, ann);
  bench.apply(put('else', '1', { lease: 1n }), MEMBER);
  expect(bench.as(ann, put('all/x', '1', { lease: 1n }))).toBe(DENIED);
  expect(bench.as(ann, txn([], [put('all/x', '1', { lease: 1n })]))).toBe(DENIED);
  expect(bench.as(ann, { kind: 'lease-revoke', id: 1n })).toBe(DENIED);
  expect(bench.machine.authorities.refuseLease(bench.store, ann, 1n, 'read')).toBe(DENIED);
  expect(bench.as(ann, put('all/x', '1', { lease: 2n }))).toBe('done');
  expect(bench.as(ann, { kind: 'lease-revoke', id: 2n })).toBe('done');
  expect(bench.as(NOBODY, { kind: 'lease-grant', id: 3n, ttlSeconds: 60n })).toBe('user-empty');
});

// etcd#14571: permissions changed between the check and the write, and replicas judged differently.
it('judges a write by the permissions that it meets in the log', () => {
  const bench = new Bench();
  const ann = bench.user('ann');
  bench.apply({ kind: 'user-revoke-role', user: 'ann', role: 'all' }, MEMBER);
  expect(bench.as(ann, put('all/x', '1'))).toBe('auth-old-revision');
  expect(bench.as(bench.user('ann'), put('all/x', '1'))).toBe(DENIED);
  bench.apply({ kind: 'user-delete', user: 'ann' }, MEMBER);
  expect(bench.as(bench.user('ann'), put('drop/x', '1'))).toBe(DENIED);
  expect(bench.list('')).toEqual([]);
});

it('refuses who is not named, until users are no longer checked', () => {
  const bench = new Bench();
  expect(bench.as(NOBODY, put('all/x', '1'))).toBe('user-empty');
  expect(bench.as(NOBODY, { kind: 'auth-disable' })).toBe('user-empty');
  expect(bench.as(MEMBER, { kind: 'compact-step', events: 1 })).toBe('done');
  expect(bench.as(bench.user('root'), { kind: 'auth-disable' })).toBe('done');
  expect(bench.as(NOBODY, put('anything', '1'))).toBe('done');
});

it('lets who has the root role do anything, and nobody else administer', () => {
  const bench = new Bench();
  expect(bench.as(bench.user('root'), put('else', '1', { previous: true }))).toBe('done');
  const administration: Command[] = [
    { kind: 'compact', revision: 2n },
    { kind: 'user-add', user: 'eve', passwordHash: 'h' },
    { kind: 'user-grant-role', user: 'ann', role: 'root' },
    { kind: 'role-add', role: 'x' },
    { kind: 'auth-disable' },
  ];
  expect(administration.map((command) => bench.as(bench.user('ann'), command))).toEqual(Array(5).fill(DENIED));
  // An old token will do: else each change would need a new one.
  const root: Authority = { kind: 'user', name: 'root', revision: 1n };
  expect(administration.map((command) => bench.as(root, command))).toEqual(Array(5).fill('done'));
});

describe('grants', () => {
  const bytes = fc.uint8Array({ maxLength: 2, max: 3 }).map((each) => Buffer.from(each));
  const ranges = fc.record({ access: fc.constant('read' as const), key: bytes, rangeEnd: bytes });
  const universe = [0, 1, 2].flatMap((length) => keysOf(length));

  function keysOf(length: number): Buffer[] {
    if (length === 0) return [Buffer.alloc(0)];
    return keysOf(length - 1).flatMap((key) => [0, 1, 2, 3].map((byte) => Buffer.concat([key, Buffer.from([byte])])));
  }

  // GHSA-xg4h-6gfc-h4m8: an open-ended range passed for its first key.
  it('never allow a range that holds a key which is not granted', () => {
    fc.assert(
      fc.property(fc.array(ranges, { maxLength: 4 }), bytes, bytes, (permissions, key, rangeEnd) => {
        if (!new Grants(false, permissions).allow('read', key, rangeEnd)) return;
        const spans = permissions.map((each) => spanOf(each.key, each.rangeEnd));
        for (const each of universe.filter((one) => spanIncludes(spanOf(key, rangeEnd), one))) {
          expect(spans.some((span) => spanIncludes(span, each))).toBe(true);
        }
      }),
      { numRuns: 2_000 },
    );
    const one = new Grants(false, [{ access: 'read', key: Buffer.from('a'), rangeEnd: Buffer.alloc(0) }]);
    expect(one.allow('read', Buffer.from('a'), Buffer.from([0]))).toBe(false);
  });

  it('allow what several permissions cover only together', () => {
    const parts = [
      ['b', 'd'],
      ['a', 'b'],
      ['d', '\0'],
    ].map(([key = '', rangeEnd = '']) => ({
      access: 'readwrite' as const,
      key: Buffer.from(key),
      rangeEnd: Buffer.from(rangeEnd),
    }));
    const allow = (use: 'read' | 'write', key: string, rangeEnd: string): boolean =>
      new Grants(false, parts).allow(use, Buffer.from(key), Buffer.from(rangeEnd));
    expect([allow('write', 'a', '\0'), allow('read', 'a', 'z'), allow('read', '\0', '\0')]).toEqual([
      true,
      true,
      false,
    ]);
  });
});
