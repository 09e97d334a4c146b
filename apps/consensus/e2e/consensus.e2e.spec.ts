import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { serviceDefinition, type etcdserverpb } from '@synod/contracts';
import { eventually, succeeds } from '@synod/eventually';
import { oracleProtocol, RequestStream } from '@synod/protocols';
import { GrpcChannels, grpcTransport, statusOf } from '@synod/rpc';
import { silentLog, systemClock, systemRandom, systemTimers } from '@synod/runtime';
import { freePorts } from '@synod/test-processes';
import { callerOver, leaderAmong } from './caller';
import { TestCluster, TestMember } from './test-cluster';

const KV = serviceDefinition('etcdserverpb.KV');
const WATCH = serviceDefinition('etcdserverpb.Watch');
const LEASE = serviceDefinition('etcdserverpb.Lease');
const LOCK = serviceDefinition('v3lockpb.Lock');
const ELECTION = serviceDefinition('v3electionpb.Election');
const ORACLE = serviceDefinition('synod.consensus.v1.TimestampOracle');
const CLUSTER = serviceDefinition('etcdserverpb.Cluster');
const HEALTH = serviceDefinition('grpc.health.v1.Health');

const channels = new GrpcChannels();
/** Three members, which most tests share. */
let cluster: TestCluster;
/** Of single tests. */
const others: TestCluster[] = [];

beforeAll(async () => {
  cluster = await TestCluster.start(3);
});

// Whatever became of them in the test before.
beforeEach(async () => {
  for (const member of cluster.members) if (!member.runs) member.start();
  await cluster.ready();
});

afterAll(async () => {
  channels.close();
  for (const each of [cluster, ...others]) await each.destroy();
});

const call = callerOver(channels);

const bytes = (text: string): Buffer => Buffer.from(text);

interface Watching {
  readonly responses: etcdserverpb.WatchResponse__Output[];
  /** What the stream ended with. */
  readonly ended: Promise<unknown>;
}

/** Watches a key; resolves when the watch stands. */
function watching(member: TestMember | undefined, key: Buffer, metadata: Record<string, string>): Promise<Watching> {
  return new Promise((stands) => {
    const responses: etcdserverpb.WatchResponse__Output[] = [];
    const ended = new Promise<unknown>((closed) => {
      const stream = channels.openStream(
        member?.address ?? '',
        WATCH.Watch,
        {
          receive: (response) => {
            responses.push(response);
            if (response.created) stands({ responses, ended });
          },
          closed: (error) => closed(statusOf(error)),
        },
        { metadata },
      );
      stream.send({ createRequest: { key } });
    });
  });
}

describe('three members', () => {
  /** Until it is acknowledged: what was on its way to a leader that dies has an unknown outcome. */
  const put = (member: TestMember | undefined, key: Buffer, value = bytes('')): Promise<boolean> =>
    eventually('a put to be acknowledged', () => succeeds(call(member, KV.Put, { key, value })));

  it('keep everything when all are killed at once', async () => {
    for (let index = 0; index < 50; index++) {
      await call(cluster.members[index % 3], KV.Put, { key: bytes(`k${index}`), value: bytes(String(index)) });
    }
    await Promise.all(cluster.members.map((member) => member.kill('SIGKILL')));
    for (const member of cluster.members) member.start();
    await cluster.ready();
    for (const member of cluster.members) {
      const { count } = await call(member, KV.Range, { key: bytes('k'), rangeEnd: bytes('l'), countOnly: true });
      expect(count).toBe('50');
    }
  });

  it('take back a member whose data folder is lost: as a new replica, that votes once it has everything', async () => {
    const [first, second, lost] = cluster.members;
    await call(first, KV.Put, { key: bytes('a'), value: bytes('1') });
    const idOf = async (member: TestMember | undefined): Promise<string | undefined> =>
      (await call(first, CLUSTER.MemberList, {})).members.find(({ name }) => name === member?.id)?.ID;
    const before = await idOf(lost);
    await lost?.kill('SIGKILL');
    renameSync(lost?.folder ?? '', `${lost?.folder}.lost`);
    lost?.start();
    await lost?.logged('asking to be taken back as a new replica');
    await lost?.logged('votes again after the loss of its data folder');
    expect(await idOf(lost)).not.toBe(before);
    // It counts: with one of the others gone, nothing is chosen without it.
    await second?.kill('SIGKILL');
    await put(first, bytes('b'), bytes('2'));
    const { kvs } = await call(lost, KV.Range, { key: bytes('a'), rangeEnd: bytes('c') });
    expect(kvs.map(({ value }) => value.toString())).toEqual(['1', '2']);
    second?.start();
    await second?.ready();

    // The folder that was lost is found again: what it promised binds nobody any more, and it may not come back.
    await lost?.kill('SIGTERM');
    renameSync(lost?.folder ?? '', `${lost?.folder}.new`);
    renameSync(`${lost?.folder}.lost`, lost?.folder ?? '');
    lost?.start();
    expect(await lost?.ended()).toBe(1);
    expect(lost?.log).toMatch(/^error: n3 was removed from (group consensus|the cluster)/m);
    renameSync(lost?.folder ?? '', `${lost?.folder}.lost`);
    renameSync(`${lost?.folder}.new`, lost?.folder ?? '');
  });

  it('refuse an empty data folder under the name of a member that runs', async () => {
    const [first, , third] = cluster.members;
    const [client, peer, http] = (await freePorts(3)) as [number, number, number];
    const initialCluster = cluster.members.map(({ id, ports }) => `${id}=127.0.0.1:${ports.peer}`).join(',');
    const impostor = new TestMember(
      'n3',
      { client, peer, http },
      path.join(cluster.folder, 'impostor'),
      initialCluster,
    );
    impostor.start();
    expect(await impostor.ended()).toBe(1);
    expect(impostor.log).toContain('belongs to a member that runs with another data folder');
    await put(first, bytes('impostor'));
    expect((await call(third, KV.Range, { key: bytes('impostor') })).count).toBe('1');
  });

  it('say that they cannot serve when two are gone, and serve again by themselves', async () => {
    const [first, second, third] = cluster.members;
    const key = bytes('watched');
    // Two kinds of client: who would rather go elsewhere than be with a member that is cut off, and who says nothing of the kind.
    const wantsLeader = { hasleader: 'true' };
    const [impatient, patient] = [await watching(first, key, wantsLeader), await watching(first, key, {})];
    await Promise.all([second?.kill('SIGKILL'), third?.kill('SIGKILL')]);
    await first?.logged('not ready: no majority of members answers');
    expect((await call(first, HEALTH.Check, {})).status).toBe('NOT_SERVING');
    const noLeader = { code: 14, details: 'etcdserver: no leader' };
    // Told at once: whoever waits for a leader is told something else.
    const wanting = { deadlineMs: 20_000, metadata: wantsLeader };
    for (const serializable of [false, true]) {
      const asked = channels.callUnary(first?.address ?? '', KV.Range, { key, serializable }, wanting);
      expect(await asked.catch(statusOf)).toMatchObject(noLeader);
    }
    expect((await call(first, KV.Range, { key, serializable: true })).count).toBe('0');
    const waited = [call(first, KV.Put, { key }), call(first, KV.Range, { key })].map((each) => each.catch(statusOf));
    expect(await impatient.ended).toMatchObject(noLeader);
    expect(impatient.responses.at(-1)).toMatchObject({ canceled: true, cancelReason: noLeader.details });
    for (const refused of await Promise.all(waited)) {
      expect(refused).toMatchObject({ details: expect.stringMatching(/^etcdserver: request timed out/) as string });
    }
    second?.start();
    await second?.ready();
    await put(first, key);
    const heard = (): boolean => patient.responses.at(-1)?.events[0]?.kv?.key.equals(key) === true;
    await eventually('the watch to go on', heard);
    await eventually('it to serve again', async () => (await call(first, HEALTH.Check, {})).status === 'SERVING');
  });

  it('have another leader as soon as the process of theirs is killed, however patient they are with a silent one', async () => {
    const patient = await TestCluster.plan(3);
    others.push(patient);
    // Silence alone would take 50 s or more; calls wait for 20.
    const start = (member: TestMember): void => member.start(['--election-timeout', '50000']);
    for (const member of patient.members) start(member);
    await patient.ready();
    await put(patient.members[0], bytes('a'));
    const leader = await leaderAmong(call, patient.members);
    await leader.kill('SIGKILL');
    const rest = patient.members.filter((member) => member !== leader);
    const since = performance.now();
    for (const member of rest) await put(member, bytes(member.id));
    expect(performance.now() - since).toBeLessThan(50_000);
    // The one that was killed comes back with everything, also with what it missed.
    start(leader);
    await leader.ready();
    for (const member of patient.members) {
      const { kvs } = await call(member, KV.Range, { key: bytes('a'), rangeEnd: bytes('o') });
      expect(kvs.map(({ key }) => key.toString())).toEqual(['a', ...rest.map(({ id }) => id)]);
    }
  });

  it('hand out growing timestamps, whoever is asked and whoever leads', async () => {
    let last = 0n;
    const next = async (member: TestMember | undefined): Promise<void> => {
      // Between two leaders nobody has any.
      const { timestamp } = await eventually('a timestamp', () =>
        call(member, ORACLE.GetTimestamp, {}).catch(() => undefined),
      );
      expect(BigInt(timestamp)).toBeGreaterThan(last);
      last = BigInt(timestamp);
    };
    for (const member of cluster.members) await next(member);
    const leader = await leaderAmong(call, cluster.members);
    await leader.kill('SIGKILL');
    const rest = cluster.members.filter((member) => member !== leader);
    for (const member of rest) await next(member);

    const transport = grpcTransport({ channels, log: silentLog, fault: () => undefined });
    const ports = { transport, clock: systemClock, timers: systemTimers, random: systemRandom };
    const many = await eventually('a thousand timestamps of the leader', async () => {
      const stream = new RequestStream(ports, oracleProtocol(), (await leaderAmong(call, rest)).address);
      const asked = stream.request({ kind: 'timestamps', count: 1_000 }, { timeoutUs: 5_000_000 });
      return asked.catch(() => undefined).finally(() => stream.close());
    });
    expect(many).toMatchObject({ kind: 'timestamps', count: 1_000 });
  });
});

describe('locks', () => {
  it('are held by one at a time, in the order they were asked for', async () => {
    const [a, b, c] = cluster.members;
    const name = bytes('the-lock');
    const leaseOf = async (): Promise<string> => (await call(a, LEASE.LeaseGrant, { TTL: 60 })).ID;
    const first = await call(a, LOCK.Lock, { name, lease: await leaseOf() });
    const order: string[] = [];
    const waiting = call(b, LOCK.Lock, { name, lease: await leaseOf() }).then((held) => {
      order.push('second');
      return held;
    });
    const inLine = async (): Promise<string> =>
      (await call(a, KV.Range, { key: name, rangeEnd: bytes('the-lock0'), countOnly: true })).count;
    await eventually('the second to stand in line', async () => (await inLine()) === '2');
    const gone = new AbortController();
    const abandoned = call(c, LOCK.Lock, { name, lease: await leaseOf() }, gone.signal).catch(() => 'abandoned');
    await eventually('the third to stand in line', async () => (await inLine()) === '3');
    gone.abort();
    expect(await abandoned).toBe('abandoned');
    order.push('first leaves');
    await call(c, LOCK.Unlock, { key: first.key });
    const second = await waiting;
    expect(order).toEqual(['first leaves', 'second']);
    await call(a, LOCK.Unlock, { key: second.key });
    // Who stopped waiting left nothing behind that could own the lock.
    expect((await call(b, LOCK.Lock, { name })).key.toString()).toMatch(/^the-lock\/[0-9a-f]+$/);
  });

  it('go to the next one when the lease of the holder ends', async () => {
    const [member] = cluster.members;
    const name = bytes('short');
    // On a busy machine the lease may be over before it holds anything.
    await eventually('a lock on a lease of two seconds', async () => {
      const { ID } = await call(member, LEASE.LeaseGrant, { TTL: 2 });
      return succeeds(call(member, LOCK.Lock, { name, lease: ID }));
    });
    const next = await call(member, LOCK.Lock, { name });
    expect((await call(member, KV.Range, { key: name, rangeEnd: bytes('shoru') })).kvs.map(({ key }) => key)).toEqual([
      next.key,
    ]);
  });
});

it('elects one leader, tells who it is, and elects the next when it resigns', async () => {
  const [member] = cluster.members;
  const name = bytes('office');
  const campaign = async (value: string): Promise<{ leader: object | null }> =>
    call(member, ELECTION.Campaign, {
      name,
      lease: (await call(member, LEASE.LeaseGrant, { TTL: 60 })).ID,
      value: bytes(value),
    });
  const noLeader = await call(member, ELECTION.Leader, { name }).catch(statusOf);
  expect(noLeader).toMatchObject({ details: 'election: no leader' });
  const first = await campaign('one');
  const second = campaign('two');
  const seen: string[] = [];
  const observing = (async () => {
    for await (const { kv } of channels.callServerStream(member?.address ?? '', ELECTION.Observe, { name }, {})) {
      if (seen.push(kv?.value.toString() ?? '') === 3) return;
    }
  })();
  await eventually('the first leader to be seen', () => seen.length >= 1);
  await call(member, ELECTION.Proclaim, { leader: first.leader, value: bytes('one again') });
  await eventually('what it proclaims to be seen', () => seen.length >= 2);
  await call(member, ELECTION.Resign, { leader: first.leader });
  await second;
  await observing;
  expect(seen).toEqual(['one', 'one again', 'two']);
  const late = await call(member, ELECTION.Proclaim, { leader: first.leader, value: bytes('x') }).catch(statusOf);
  expect(late).toMatchObject({ details: 'election: not leader' });
});

describe('a start', () => {
  async function planned(): Promise<TestMember> {
    const plan = await TestCluster.plan(1);
    others.push(plan);
    const [member] = plan.members;
    if (member === undefined) throw new Error('a plan has members');
    return member;
  }

  it.each([
    [['--colour', 'red'], 2, 'unknown argument --colour; see --help'],
    [['--shards', '3'], 2, '--shards 3: a power of two is wanted'],
    [['--log-level', 'loud'], 2, '--log-level "loud": one of debug, info, warn, error'],
  ])('with %j ends with exit code %d and one line', async (flags, code, text) => {
    const member = await planned();
    member.start(flags);
    expect(await member.ended()).toBe(code);
    expect(member.log).toBe(`error: ${text}`);
  });

  it('on a folder of something else, or with a port in use, says so and changes nothing', async () => {
    const member = await planned();
    mkdirSync(member.folder);
    writeFileSync(
      path.join(member.folder, 'VERSION'),
      JSON.stringify({ format: 1, service: 'storage-shard', nodeId: 'n1', incarnation: 'x' }),
    );
    member.start();
    expect(await member.ended()).toBe(1);
    expect(member.log).toContain('is a data folder of storage-shard, not of consensus');
    const peer = cluster.members[0]!.ports.peer;
    const other = await planned();
    const clash = new TestMember('n1', { ...other.ports, peer }, other.folder, `n1=127.0.0.1:${peer}`);
    clash.start();
    expect(await clash.ended()).toBe(1);
    expect(clash.log).toContain(`port ${peer} is in use`);
  });

  it('is ended by SIGTERM, with exit code 0: by itself, before it would be cut short', async () => {
    const [member] = cluster.members;
    expect(await member?.kill('SIGTERM')).toBe(0);
    expect(member?.log).not.toContain('cut short');
  });
});
