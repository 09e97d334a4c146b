import { createSecretKey } from 'node:crypto';
import type { StoreReader } from '@synod/runtime';
import { Gatekeeper } from './auth/gatekeeper';
import { JwtTokens } from './auth/jwt-tokens';
import type { TokenProvider } from './auth/token-provider';
import { EtcdError } from './state/errors';
import type { AuthCommand } from './state/auth/auth-commands';
import type { Authorities } from './state/auth/authority';
import { LocalCoordination } from './local-coordination';
import { ClusterBench } from './testing/cluster-bench';
import { get, put, txn } from './testing/state-bench';

const codeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'done',
    (error: unknown) => (error instanceof EtcdError ? error.code : error),
  );

const FOUNDATION: AuthCommand[] = [
  { kind: 'user-add', user: 'root', passwordHash: 'h' },
  { kind: 'user-grant-role', user: 'root', role: 'root' },
  { kind: 'user-add', user: 'ann', passwordHash: 'h' },
  { kind: 'role-add', role: 'a' },
  {
    kind: 'role-grant',
    role: 'a',
    permission: { access: 'readwrite', key: Buffer.from('a'), rangeEnd: Buffer.from('b') },
  },
  { kind: 'user-grant-role', user: 'ann', role: 'a' },
];

/** Three members, users but for `auth-enable`. */
async function populated(tokens?: TokenProvider): Promise<ClusterBench> {
  const bench = new ClusterBench(['n1', 'n2', 'n3'], tokens);
  await bench.lead('n1');
  for (const command of FOUNDATION) await bench.time.until(bench.host.administer(command, 'client'));
  return bench;
}

async function checking(tokens?: TokenProvider): Promise<ClusterBench> {
  const bench = await populated(tokens);
  await bench.time.until(bench.host.administer({ kind: 'auth-enable' }, 'client'));
  return bench;
}

async function tokenOf(
  bench: ClusterBench,
  user: string,
  member = 'n1',
): Promise<{ identity: 'client'; token: string }> {
  const { host } = bench.member(member);
  const token = host.gatekeeper.tokens.issue(user, 0n) ?? '';
  const { revision } = host.gatekeeper.meta;
  await bench.time.until(host.administer({ kind: 'authenticate', user, revision, token }, 'service'));
  return { identity: 'client', token };
}

it('takes a certificate for its user where that is set, unless there is a token', async () => {
  const meta = { enabled: true, revision: 7n };
  const authorities = { meta: () => meta } as unknown as Authorities;
  const tokens = { logged: false, identify: () => undefined } as unknown as TokenProvider;
  const store = {} as StoreReader;
  const asked = (certificatesName: boolean, token?: string): Promise<unknown> =>
    new Gatekeeper(authorities, store, tokens, () => Promise.resolve(), certificatesName).authorityOf({
      identity: 'client',
      token,
      certified: () => 'ann',
    });
  expect(await asked(true)).toEqual({ kind: 'user', name: 'ann', revision: 7n });
  expect(await asked(false)).toEqual({ kind: 'nobody' });
  await expect(asked(true, 'forged')).rejects.toThrow('invalid auth token');
});

it('checks users on every member, by a token from any of them', async () => {
  const bench = await checking();
  const ann = await tokenOf(bench, 'ann', 'n3');
  for (const name of ['n1', 'n2', 'n3']) {
    const { host } = bench.member(name);
    const outcomes = [
      host.put(put('a', '1'), ann),
      host.put(put('b', '1'), ann),
      host.range(get('a'), false, ann),
      host.range(get('b'), true, ann),
      host.txn(txn([], [get('b')]), ann),
      host.range(get('a')),
      host.put(put('a', '1'), 'client'),
      host.put(put('a', '1'), { identity: 'service', token: undefined }),
      host.compact(1n, false, ann),
      host.range(get('a'), false, { identity: 'client', token: 'no such token' }),
    ].map(codeOf);
    expect(await bench.time.until(Promise.all(outcomes))).toEqual([
      'done',
      'permission-denied',
      'done',
      'permission-denied',
      'permission-denied',
      'user-empty',
      'user-empty',
      'user-empty',
      'permission-denied',
      'invalid-auth-token',
    ]);
  }
});

it('knows a token of another member although it lags, once it has caught up', async () => {
  const bench = await checking();
  bench.member('n2').group.paused = true;
  const ann = await tokenOf(bench, 'ann');
  const asked = codeOf(bench.member('n2').host.range(get('a'), true, ann));
  await bench.time.advance(1_000_000);
  await bench.resume('n2');
  expect(await bench.time.until(asked)).toBe('done');
});

// A member that has not heard of it must not let a write in that the others would refuse.
it('refuses a write through a member that does not know yet that users are checked', async () => {
  const bench = await populated();
  bench.member('n2').group.paused = true;
  await bench.time.until(bench.host.administer({ kind: 'auth-enable' }, 'client'));
  const { host } = bench.member('n2');
  expect(host.gatekeeper.enabled).toBe(false);
  expect(await bench.time.until(codeOf(host.put(put('a', '1'), 'client')))).toBe('user-empty');
  // What runs inside that member needs nobody's leave, and is not held up by it either.
  const before = bench.logLength;
  await bench.time.until(new LocalCoordination(host).grantLease(60));
  expect(bench.logLength).toBe(before + 2);
});

it('refuses a write whose permission is older than a change that it meets in the log', async () => {
  const bench = await checking();
  const ann = await tokenOf(bench, 'ann', 'n2');
  bench.member('n2').group.paused = true;
  await bench.time.until(bench.host.administer({ kind: 'user-revoke-role', user: 'ann', role: 'a' }, 'service'));
  expect(await bench.time.until(codeOf(bench.member('n2').host.put(put('a', '1'), ann)))).toBe('auth-old-revision');
});

it('takes a signed token for what its auth revision allowed, until users or roles change', async () => {
  const secret = createSecretKey(Buffer.from('a secret of all members'));
  const options = { method: 'HS256', verifyingKey: secret, signingKey: secret, ttlMs: 60_000 } as const;
  const tokens = new JwtTokens(options, { monotonicUs: () => 0, wallMs: () => 0 });
  const bench = await checking(tokens);
  const { host } = bench.member('n3');
  const caller = (user: string): { identity: 'client'; token: string } => ({
    identity: 'client',
    token: tokens.issue(user, host.gatekeeper.meta.revision) ?? '',
  });
  const [ann, root] = [caller('ann'), caller('root')];
  const outcomes = (): Promise<unknown> =>
    bench.time.until(Promise.all([host.put(put('a', '1'), ann), host.range(get('a'), false, ann)].map(codeOf)));
  expect(await outcomes()).toEqual(['done', 'done']);
  const change: AuthCommand = { kind: 'role-add', role: 'new' };
  expect(await bench.time.until(codeOf(host.administer(change, root)))).toBe('done');
  expect(await outcomes()).toEqual(['auth-old-revision', 'auth-old-revision']);
  // One may change several things with one token.
  expect(await bench.time.until(codeOf(host.administer({ kind: 'role-delete', role: 'new' }, root)))).toBe('done');
  expect(await bench.time.until(codeOf(host.put(put('a', '1'), caller('ann'))))).toBe('done');
});

it('goes on expiring leases and placing shards while users are checked', async () => {
  const bench = await checking();
  const coordination = new LocalCoordination(bench.host);
  const lease = await bench.time.until(coordination.grantLease(2));
  const key = Buffer.from('\0synod/x');
  const operations = { compare: [], success: [{ kind: 'put' as const, key, value: key, lease }], failure: [] };
  await bench.time.until(coordination.transaction(operations));
  expect((await bench.time.until(coordination.range(key))).entries).toHaveLength(1);
  await bench.time.advance(4_000_000);
  expect((await bench.time.until(coordination.range(key))).entries).toEqual([]);
});

it('shows leases to who may see the keys they hold, and renews them for who may write those', async () => {
  const bench = await checking();
  const ann = await tokenOf(bench, 'ann');
  const { host } = bench;
  await bench.time.until(host.leases.grant(1n, 60n, ann));
  await bench.time.until(host.put(put('a', '1', { lease: 1n }), ann));
  const ask = (): Promise<unknown> =>
    bench.time.until(
      Promise.all(
        [
          host.leases.keepAlive(1n, ann),
          host.leases.timeToLive(1n, true, ann),
          host.leases.timeToLive(1n, false, ann),
          host.leases.list(ann),
          host.leases.list('client'),
          host.leases.keepAlive(1n, 'client'),
          host.leases.revoke(1n, 'client'),
        ].map(codeOf),
      ),
    );
  const nobody = ['user-empty', 'user-empty', 'user-empty'];
  expect(await ask()).toEqual(['done', 'done', 'done', 'done', ...nobody]);
  await bench.time.until(host.put(put('b', '1', { lease: 1n }), 'service'));
  const denied = 'permission-denied';
  expect(await ask()).toEqual([denied, denied, 'done', denied, ...nobody]);
});

it('adds nothing to a write while users are not checked', async () => {
  const bench = await populated();
  const before = bench.logBytes;
  await bench.time.until(bench.host.put(put('k', 'v'), { identity: 'client', token: 'left over' }));
  // Kind, flags, two lengths, key, value, lease.
  expect(bench.logBytes - before).toBe(1 + 1 + 1 + 1 + 1 + 1 + 8);
});
