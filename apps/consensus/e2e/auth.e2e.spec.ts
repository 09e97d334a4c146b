import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { Client, credentials } from '@grpc/grpc-js';
import { serviceDefinition, type MessageShape, type MethodDefinition } from '@synod/contracts';
import { EtcdCoordination, KvStream } from '@synod/coordination';
import { eventually } from '@synod/eventually';
import { GrpcChannels, statusOf } from '@synod/rpc';
import { systemClock, systemRandom, systemTimers } from '@synod/runtime';
import { whereInstalled } from '@synod/test-processes';
import { ACCESS_RULES, type ServedService } from '../src/services/access-rules';
import { outcomeOf } from './caller';
import { Etcdctl } from './etcdctl';
import { TestCluster } from './test-cluster';

const AUTH = serviceDefinition('etcdserverpb.Auth');
const KV = serviceDefinition('etcdserverpb.KV');
const LEASE = serviceDefinition('etcdserverpb.Lease');
const LOCK = serviceDefinition('v3lockpb.Lock');
const MAINTENANCE = serviceDefinition('etcdserverpb.Maintenance');
const WATCH = serviceDefinition('etcdserverpb.Watch');
const channels = new GrpcChannels();
let cluster: TestCluster;
let root: string;
let ann: string;

const address = (index = 0): string => cluster.endpoints[index] ?? '';

function call<Request extends MessageShape, Response extends MessageShape>(
  method: MethodDefinition<Request, Response>,
  request: Request['input'],
  metadata: Readonly<Record<string, string>> = {},
  at = address(),
): Promise<Response['output']> {
  return channels.callUnary(at, method, request, { deadlineMs: 15_000, metadata });
}

const bytes = (text: string): Buffer => Buffer.from(text);
const allow = (key: string, rangeEnd = '', permType: 'READ' | 'WRITE' | 'READWRITE' = 'READWRITE') => ({
  permType,
  key: bytes(key),
  rangeEnd: bytes(rangeEnd),
});

async function authenticate(name: string, password: string, at?: string): Promise<string> {
  return (await call(AUTH.Authenticate, { name, password }, {}, at)).token;
}

/** Users root, ann (all of ann/, and to look at shared/) and cert (no password); then nobody is let in unchecked. */
beforeAll(async () => {
  cluster = await TestCluster.start(3);
  await call(AUTH.UserAdd, { name: 'root', password: 'rootpw' });
  await call(AUTH.RoleAdd, { name: 'root' });
  await call(AUTH.UserGrantRole, { user: 'root', role: 'root' });
  await call(AUTH.UserAdd, { name: 'ann', password: 'annpw' });
  await call(AUTH.UserAdd, { name: 'cert', options: { noPassword: true } });
  await call(AUTH.RoleAdd, { name: 'ann' });
  await call(AUTH.RoleGrantPermission, { name: 'ann', perm: allow('ann/', 'ann0') });
  await call(AUTH.RoleGrantPermission, { name: 'ann', perm: allow('shared/', 'shared0', 'READ') });
  await call(AUTH.UserGrantRole, { user: 'ann', role: 'ann' });
  await call(KV.Put, { key: bytes('secret'), value: bytes('1') });
  await call(AUTH.AuthEnable, {});
  root = await authenticate('root', 'rootpw');
  ann = await authenticate('ann', 'annpw');
});

afterAll(async () => {
  channels.close();
  await cluster.destroy();
});

const METHODS = Object.entries(ACCESS_RULES).flatMap(([service, rules]) =>
  Object.entries(rules).map(([method, rule]) => ({ service: service as ServedService, method, rule })),
);

// CVE-2026-33413: several calls of etcd could be made by anyone.
it.each(METHODS.filter(({ rule }) => rule !== 'open'))(
  'lets nobody call $service $method without a token',
  async ({ service, method }) => {
    const definitions: Readonly<Record<string, MethodDefinition<MessageShape, MessageShape>>> =
      serviceDefinition(service);
    const definition = definitions[method];
    if (definition === undefined) throw new Error('no such method');
    expect(await refusalOf(definition)).toMatch(
      /^(rpc error: code = InvalidArgument desc = )?etcdserver: user name is empty$/,
    );
  },
);

/** A request that means something to any method: what a method does not know is left out. */
const REQUEST = {
  ID: '1',
  key: bytes('secret'),
  name: bytes('secret'),
  perm: allow('a'),
  leader: { name: bytes('secret'), key: bytes('secret') },
  success: [{ requestRange: { key: bytes('secret') } }],
};

/** The first answers of streams that live on after a refusal: of a watch, and of a request among many. */
interface FirstAnswer {
  readonly cancelReason?: string;
  readonly responses?: readonly { readonly error: { readonly message: string } | null }[];
}

/** Why a call is refused: by the status of the call or in its first answer. */
async function refusalOf(method: MethodDefinition<MessageShape, MessageShape>): Promise<string> {
  // Names of users are text, names of locks are bytes.
  const request = method.path.includes('.Auth/') ? { ...REQUEST, name: 'secret' } : REQUEST;
  if (!method.responseStream) return outcomeOf(call(method, request));
  if (!method.requestStream) return serverStreamOutcome(method);
  return new Promise((resolve) => {
    const stream = channels.openStream(
      address(),
      method,
      {
        receive: (response) => {
          const { cancelReason, responses } = response as FirstAnswer;
          resolve(cancelReason ?? responses?.[0]?.error?.message ?? 'done');
        },
        closed: (error) => resolve(statusOf(error)?.details ?? 'ended'),
      },
      { idempotent: true, metadata: {} },
    );
    stream.send({ ...REQUEST, createRequest: REQUEST, requests: [{ id: 1, put: REQUEST }] });
  });
}

/** Our own channels do not make calls of this shape. */
function serverStreamOutcome({
  path,
  requestSerialize,
  responseDeserialize,
}: MethodDefinition<MessageShape, MessageShape>): Promise<string> {
  const client = new Client(address(), credentials.createInsecure());
  return new Promise<string>((resolve) => {
    const stream = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, REQUEST);
    stream.on('data', () => resolve('done'));
    stream.on('error', (error) => resolve((error as { details?: string }).details ?? error.message));
    stream.on('end', () => resolve('ended'));
  }).finally(() => client.close());
}

it('answers what a client needs to find out that it must authenticate', async () => {
  expect(await call(AUTH.AuthStatus, {})).toMatchObject({ enabled: true });
  expect(await outcomeOf(authenticate('ann', 'wrong'))).toBe(
    'etcdserver: authentication failed, invalid user ID or password',
  );
  expect(await outcomeOf(authenticate('nobody', 'x'))).toBe(
    'etcdserver: authentication failed, invalid user ID or password',
  );
  expect(await outcomeOf(authenticate('cert', ''))).toBe(
    'etcdserver: authentication failed, invalid user ID or password',
  );
  expect(await outcomeOf(call(KV.Range, { key: bytes('ann/') }, { token: 'forged' }))).toBe(
    'etcdserver: invalid auth token',
  );
  expect(await outcomeOf(call(KV.Range, { key: bytes('ann/') }, { authorization: `Bearer ${ann}` }))).toBe('done');
});

it('takes a token at any member, whichever handed it out', async () => {
  for (const index of [0, 1, 2]) {
    const own = await authenticate('ann', 'annpw', address(index));
    for (const other of [0, 1, 2]) {
      await call(KV.Put, { key: bytes('ann/x'), value: bytes('1') }, { token: own }, address(other));
    }
  }
});

it('keeps users within their keys, on every way to them', async () => {
  const token = { token: ann };
  const denied = 'etcdserver: permission denied';
  expect(await outcomeOf(call(KV.Range, { key: bytes('secret') }, token))).toBe(denied);
  expect(await outcomeOf(call(KV.Range, { key: bytes('secret'), serializable: true }, token))).toBe(denied);
  expect(await outcomeOf(call(KV.Range, { key: bytes('ann/'), rangeEnd: bytes('\0') }, token))).toBe(denied);
  expect(await outcomeOf(call(KV.Put, { key: bytes('shared/x'), value: bytes('1') }, token))).toBe(denied);
  const nested = { success: [{ requestTxn: { success: [{ requestPut: { key: bytes('secret') } }] } }] };
  expect(await outcomeOf(call(KV.Txn, nested, token))).toBe(denied);
  expect(await outcomeOf(call(KV.Compact, { revision: '1' }, token))).toBe(denied);
  const stream = new KvStream(channels, address(1), token);
  const asked = [
    stream.put({ key: bytes('secret') }),
    stream.put({ key: bytes('ann/s') }),
    stream.range({ key: bytes('secret') }),
  ];
  expect(await Promise.all(asked.map(outcomeOf))).toEqual([denied, 'done', denied]);
  stream.close();
  expect(await outcomeOf(call(MAINTENANCE.Status, {}, token))).toBe(denied);
  expect(await outcomeOf(call(AUTH.UserAdd, { name: 'eve', password: 'x' }, token))).toBe(denied);
  expect(await outcomeOf(call(LOCK.Lock, { name: bytes('secret') }, token))).toBe(denied);
  expect(await outcomeOf(call(LOCK.Unlock, { key: bytes('secret') }, token))).toBe(denied);
  expect(await outcomeOf(call(LOCK.Lock, { name: bytes('ann/lock') }, token))).toBe('done');
  expect(await call(AUTH.UserGet, { name: 'ann' }, token)).toMatchObject({ roles: ['ann'] });
  expect(await call(AUTH.RoleGet, { role: 'ann' }, token)).toMatchObject({
    perm: [{ permType: 'READWRITE' }, { permType: 'READ' }],
  });
  expect(await outcomeOf(call(AUTH.UserGet, { name: 'root' }, token))).toBe(denied);
  // A label is no permission, and services' keys are no exception.
  const service = { ...token, 'synod-identity': 'service' };
  expect(await outcomeOf(call(KV.Put, { key: bytes('\0synod/x'), value: bytes('1') }, service))).toBe(denied);
  const lease = (await call(LEASE.LeaseGrant, { TTL: 60 }, { token: root })).ID;
  await call(KV.Put, { key: bytes('secret'), value: bytes('2'), lease }, { token: root });
  expect(await outcomeOf(call(LEASE.LeaseRevoke, { ID: lease }, token))).toBe(denied);
  expect(await outcomeOf(call(LEASE.LeaseTimeToLive, { ID: lease, keys: true }, token))).toBe(denied);
  expect(await outcomeOf(call(KV.Put, { key: bytes('ann/x'), value: bytes('1'), lease }, token))).toBe(denied);
});

/** A watch of ann's. @returns what it is told, as it comes */
function watch(key: string, rangeEnd = ''): { said: string[]; until: (count: number) => Promise<string[]> } {
  const said: string[] = [];
  const stream = channels.openStream(
    address(1),
    WATCH.Watch,
    {
      receive: ({ created, canceled, cancelReason, events }) => {
        if (canceled) said.push(cancelReason);
        else if (created) said.push('created');
        for (const { kv } of events) said.push(`event ${kv?.key.toString() ?? ''}`);
      },
      closed: () => undefined,
    },
    { idempotent: true, metadata: { token: ann } },
  );
  stream.send({ createRequest: { key: bytes(key), ...(rangeEnd === '' ? {} : { rangeEnd: bytes(rangeEnd) }) } });
  return {
    said,
    until: async (count) => {
      await eventually(`${count} answers to a watch`, () => said.length >= count);
      stream.close();
      return said;
    },
  };
}

const DENIED = 'rpc error: code = PermissionDenied desc = etcdserver: permission denied';

// GHSA-xg4h-6gfc-h4m8.
it('shows a watch no key beyond those that may be read', async () => {
  expect(await watch('secret').until(1)).toEqual([DENIED]);
  expect(await watch('ann/x', '\0').until(1)).toEqual([DENIED]);
});

it('ends a watch when its keys may no longer be read', async () => {
  await call(AUTH.RoleGrantPermission, { name: 'ann', perm: allow('once/', 'once0') }, { token: root });
  // The member that is watched at has heard of that, too.
  await call(KV.Range, { key: bytes('once/') }, { token: root }, address(1));
  const watching = watch('once/', 'once0');
  await eventually('the watch', () => watching.said.length >= 1);
  await call(KV.Put, { key: bytes('once/x'), value: bytes('1') }, { token: root });
  await eventually('the event', () => watching.said.length >= 2);
  await call(
    AUTH.RoleRevokePermission,
    { role: 'ann', key: bytes('once/'), rangeEnd: bytes('once0') },
    { token: root },
  );
  await call(KV.Put, { key: bytes('once/y'), value: bytes('1') }, { token: root });
  expect(await watching.until(3)).toEqual(['created', 'event once/x', DENIED]);
});

/** A service of a cluster whose registrations are behind a password. */
function serviceAs(user: string, password: string): EtcdCoordination {
  const ports = { channels, clock: systemClock, timers: systemTimers, random: systemRandom };
  return new EtcdCoordination(ports, {
    endpoints: cluster.endpoints,
    identity: 'service',
    credentials: { user, password },
  });
}

it('serves the other services once they say who they are, and whether or not users are checked', async () => {
  await call(AUTH.UserAdd, { name: 'services', password: 'a:b' }, { token: root });
  await call(AUTH.RoleAdd, { name: 'services' }, { token: root });
  await call(AUTH.RoleGrantPermission, { name: 'services', perm: allow('\0synod/', '\0synod0') }, { token: root });
  await call(AUTH.UserGrantRole, { user: 'services', role: 'services' }, { token: root });
  const coordination = serviceAs('services', 'a:b');
  const key = bytes('\0synod/test');
  const seen: string[] = [];
  const events = (changes: readonly { readonly type: string }[]): void => {
    seen.push(...changes.map(({ type }) => type));
  };
  coordination.watch({ key, startRevision: 1n }, { events, compacted: () => undefined });
  const put = async (lease: bigint): Promise<void> => {
    const success = [{ kind: 'put' as const, key, value: key, lease }];
    expect(await coordination.transaction({ compare: [], success, failure: [] })).toMatchObject({ succeeded: true });
  };
  const lease = await coordination.grantLease(60);
  await put(lease);
  expect(await coordination.keepLeaseAlive(lease)).toBe(60);
  // A change to users leaves a token of old good; a new password does not.
  await call(AUTH.RoleAdd, { name: 'another' }, { token: root });
  await put(lease);
  await call(AUTH.UserChangePassword, { name: 'services', password: 'a:b' }, { token: root });
  await put(lease);
  await coordination.revokeLease(lease);
  await eventually('four events', () => seen.length >= 4);
  expect(seen).toEqual(['put', 'put', 'put', 'delete']);
  await expect(serviceAs('services', 'wrong').range(key)).rejects.toMatchObject({ kind: 'invalid-argument' });
  await call(AUTH.AuthDisable, {}, { token: root });
  await put(0n);
  await call(AUTH.AuthEnable, {});
  [root, ann] = [await authenticate('root', 'rootpw'), await authenticate('ann', 'annpw')];
  await put(0n);
  coordination.close();
});

whereInstalled('etcdctl', 'users and roles through etcdctl', () => {
  const etcdctl = new Etcdctl(() => cluster.endpoints);
  const asRoot = etcdctl.with('--user', 'root:rootpw');
  const asBob = etcdctl.with('--user', 'bob:bobpw');
  const asNewBob = etcdctl.with('--user', 'bob:newpw');
  const denied = 'etcdserver: permission denied';

  /** What it printed if it succeeded, else why it did not. */
  async function answer(from: Etcdctl, ...args: string[]): Promise<string> {
    const { out, err } = await from.run(args);
    return /Error: (.*)/.exec(err)?.[1] ?? out.toString().trim();
  }

  it('is administered', async () => {
    const as = (...args: string[]): Promise<string> => answer(asRoot, ...args);
    expect(await as('user', 'add', 'bob:bobpw')).toBe('User bob created');
    expect(await as('role', 'add', 'bob')).toBe('Role bob created');
    expect(await as('role', 'grant-permission', 'bob', '--prefix=true', 'readwrite', 'bob/')).toBe('Role bob updated');
    expect(await as('role', 'grant-permission', 'bob', '--from-key=true', 'read', 'x')).toBe('Role bob updated');
    expect(await as('role', 'grant-permission', 'bob', 'write', 'mailbox')).toBe('Role bob updated');
    expect(await as('user', 'grant-role', 'bob', 'bob')).toBe('Role bob is granted to user bob');
    expect(await as('user', 'list')).toBe('ann\nbob\ncert\nroot\nservices');
    expect(await as('role', 'list')).toBe('ann\nanother\nbob\nroot\nservices');
    expect(await as('user', 'get', 'bob')).toBe('User: bob\nRoles: bob');
    expect(await as('role', 'get', 'bob')).toBe(
      'Role bob\nKV Read:\n\t[bob/, bob0) (prefix bob/)\n\t[x, <open ended>\nKV Write:\n\t[bob/, bob0) (prefix bob/)\n\tmailbox',
    );
    expect(await as('user', 'add', 'bob:again')).toBe('etcdserver: user name already exists');
    expect(await as('user', 'delete', 'root')).toBe('etcdserver: invalid auth management');
  });

  it('lets users do what their roles say, until they are revoked', async () => {
    const as = (...args: string[]): Promise<string> => answer(asBob, ...args);
    expect(await as('put', 'bob/1', 'one')).toBe('OK');
    expect(await as('get', 'bob/', '--prefix')).toBe('bob/1\none');
    expect(await as('put', 'mailbox', 'hello')).toBe('OK');
    expect(await as('get', 'mailbox')).toBe(denied);
    expect(await as('get', 'y', '--from-key', '--limit=1')).toBe('');
    expect(await as('put', 'y', '1')).toBe(denied);
    expect(await as('user', 'list')).toBe(denied);
    expect(await as('member', 'list')).toContain('started, n1');
    expect(await answer(etcdctl.with('--user', 'bob:wrong'), 'get', 'bob/1')).toBe(
      'etcdserver: authentication failed, invalid user ID or password',
    );
    expect(await answer(etcdctl, 'get', 'bob/1')).toBe('etcdserver: user name is empty');
    await call(AUTH.UserChangePassword, { name: 'bob', password: 'newpw' }, { token: root });
    expect(await as('get', 'bob/1')).toContain('authentication failed');
    expect(await answer(asNewBob, 'get', 'bob/1')).toBe('bob/1\none');
    expect(await answer(asRoot, 'user', 'revoke-role', 'bob', 'bob')).toBe('Role bob is revoked from user bob');
    expect(await answer(asNewBob, 'get', 'bob/1')).toBe(denied);
  });

  it('serves on when the leader is killed, and knows every user afterwards', async () => {
    await asRoot.text('user', 'grant-role', 'bob', 'bob');
    const { endpoint } = await asRoot.leading();
    const leader = cluster.members.find(({ address }) => address === endpoint)!;
    const others = cluster.endpoints.filter((each) => each !== endpoint);
    await leader.kill('SIGKILL');
    expect(await asNewBob.at(...others).persist('put', 'bob/2', 'two')).toBe('OK\n');
    expect(await answer(asNewBob.at(...others), 'put', 'y', '1')).toBe(denied);
    leader.start();
    await leader.ready();
    expect(await answer(asNewBob.at(endpoint), 'get', 'bob/2')).toBe('bob/2\ntwo');
    expect(await answer(asNewBob.at(endpoint), 'get', 'secret')).toBe(denied);
    expect(await answer(etcdctl.at(endpoint), 'get', 'bob/2')).toBe('etcdserver: user name is empty');
  });
});

it('stops checking when told to, and by nobody else', async () => {
  expect(await outcomeOf(call(AUTH.AuthDisable, {}, { token: await authenticate('ann', 'annpw') }))).toBe(
    'etcdserver: permission denied',
  );
  await call(AUTH.AuthDisable, {}, { token: await authenticate('root', 'rootpw') });
  expect(await outcomeOf(call(KV.Range, { key: bytes('secret') }))).toBe('done');
  expect(await outcomeOf(authenticate('root', 'rootpw'))).toBe('etcdserver: authentication is not enabled');
});

it('takes signed tokens where that is set, also after a restart', async () => {
  const signed = await TestCluster.plan(1);
  const [member] = signed.members;
  if (member === undefined) throw new Error('no member');
  try {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const file = path.join(signed.folder, 'token.key');
    writeFileSync(file, privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const flags = ['--auth-token', `jwt,sign-method=ES256,priv-key=${file},ttl=10m`];
    member.start(flags);
    await signed.ready();
    const at = member.address;
    await call(AUTH.UserAdd, { name: 'root', password: 'rootpw' }, {}, at);
    await call(AUTH.UserGrantRole, { user: 'root', role: 'root' }, {}, at);
    await call(AUTH.AuthEnable, {}, {}, at);
    const token = await authenticate('root', 'rootpw', at);
    expect(token.split('.')).toHaveLength(3);
    await call(KV.Put, { key: bytes('a') }, { token }, at);
    await member.kill('SIGKILL');
    member.start(flags);
    await signed.ready();
    await call(KV.Put, { key: bytes('a') }, { token }, at);
    await call(AUTH.RoleAdd, { name: 'new' }, { token }, at);
    expect(await outcomeOf(call(KV.Put, { key: bytes('a') }, { token }, at))).toBe(
      'etcdserver: revision of auth store is old',
    );
    expect(await outcomeOf(call(KV.Put, { key: bytes('a') }, { token: `${token}x` }, at))).toBe(
      'etcdserver: invalid auth token',
    );
  } finally {
    await signed.destroy();
  }
});
