import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { serviceDefinition } from '@synod/contracts';
import { eventually } from '@synod/eventually';
import { GrpcChannels, statusOf } from '@synod/rpc';
import { freePorts, whereInstalled } from '@synod/test-processes';
import { callerOver, leaderAmong } from './caller';
import { Etcdctl } from './etcdctl';
import { TestCluster, type TestMember } from './test-cluster';

const KV = serviceDefinition('etcdserverpb.KV');
const LEASE = serviceDefinition('etcdserverpb.Lease');
const CLUSTER = serviceDefinition('etcdserverpb.Cluster');
const MAINTENANCE = serviceDefinition('etcdserverpb.Maintenance');
const channels = new GrpcChannels();
const COMPACTED = 'etcdserver: mvcc: required revision has been compacted';
const bytes = (text: string): Buffer => Buffer.from(text);

afterAll(() => channels.close());

const peerUrl = ({ ports }: TestMember): string => `http://127.0.0.1:${ports.peer}`;
const clientUrl = ({ address }: TestMember): string => `http://${address}`;

/** On a busy machine a cluster that was just founded may change its leader, and nobody knows what becomes of what it had in progress: asks again. */
async function whoeverLeads(ask: () => Promise<unknown>): Promise<void> {
  await eventually('an answer', () =>
    ask().then(
      () => true,
      (error: unknown) => {
        if (statusOf(error)?.details.includes('leader') === true) return false;
        throw error;
      },
    ),
  );
}

/** What one would give etcd, and nothing else. */
function etcdFlags(member: TestMember, initialCluster: string): string[] {
  return [
    ...['--name', member.id, '--data-dir', member.folder],
    ...['--initial-advertise-peer-urls', peerUrl(member), '--listen-peer-urls', peerUrl(member)],
    ...['--listen-client-urls', clientUrl(member), '--advertise-client-urls', clientUrl(member)],
    ...['--initial-cluster-token', 'etcd-cluster-1', '--initial-cluster', initialCluster],
    ...['--initial-cluster-state', 'new'],
  ];
}

function variables(flags: readonly string[]): Record<string, string> {
  const pairs = flags.flatMap((flag, index) => (index % 2 === 0 ? [[flag, flags[index + 1] ?? ''] as const] : []));
  return Object.fromEntries(
    pairs.map(([flag, value]) => [`ETCD_${flag.slice(2).replaceAll('-', '_').toUpperCase()}`, value]),
  );
}

async function get(url: string): Promise<{ status: number; body: string }> {
  const response = await fetch(url);
  return { status: response.status, body: await response.text() };
}

/** A figure of those that Prometheus is told, by a part of its labels; 0 if there is none. */
async function figure(base: string, name: string, labels: string): Promise<number> {
  const lines = (await get(`${base}/metrics`)).body.split('\n');
  const line = lines.find((each) => each.startsWith(`${name}{`) && each.includes(labels));
  return Number(line?.split(' ').at(-1) ?? 0);
}

describe("three members started with etcd's flags alone", () => {
  let cluster: TestCluster;
  let metrics: number;

  beforeAll(async () => {
    cluster = await TestCluster.plan(3);
    [metrics = 0] = await freePorts(1);
    const [first, second, third] = cluster.members;
    if (first === undefined || second === undefined || third === undefined) throw new Error('three were planned');
    const listed = [first, second, third].map((member) => `${member.id}=${peerUrl(member)}`);
    const acting = [
      '--election-timeout=4000',
      '--heartbeat-interval=10',
      '--strict-reconfig-check=false',
      '--max-txn-ops=3',
      '--max-request-bytes=4194304',
    ];
    const everywhere = ['--auto-compaction-mode', 'periodic', '--auto-compaction-retention', '1s'];
    const flagsOf = (member: TestMember, among: readonly string[]): string[] => [
      ...etcdFlags(member, among.join()),
      ...everywhere,
    ];
    first.run([...flagsOf(first, listed), ...acting, '--listen-metrics-urls', `http://127.0.0.1:${metrics}`]);
    second.run([...flagsOf(second, listed), '--log-level', 'debug']);
    // As a container would have it, and with the members in another order.
    third.run([], { ...variables(flagsOf(third, [...listed].reverse())), ETCD_PORT: 'tcp://10.0.0.1:2379' });
    await cluster.ready();
  });
  afterAll(() => cluster.destroy());

  it('are one cluster, under the names and URLs that they were given', async () => {
    const list = () => channels.callUnary(cluster.endpoints[1] ?? '', CLUSTER.MemberList, {}, { deadlineMs: 9_000 });
    // A member may be ready before its registration tells its URLs.
    const members = await eventually('the URLs of all clients', async () => {
      const { members } = await list();
      return members.every(({ clientURLs }) => clientURLs.length > 0) && members;
    });
    expect(members.map(({ name, peerURLs, clientURLs }) => [name, ...peerURLs, ...clientURLs])).toEqual(
      cluster.members.map((member) => [member.id, peerUrl(member), clientUrl(member)]),
    );
    expect(cluster.members[2]?.log).toContain('ETCD_PORT is not a setting of consensus; ignored');
  });

  it('say once when they are ready, and where', () => {
    for (const member of cluster.members) {
      expect(member.log.match(/"message":"ready"/g)).toHaveLength(1);
      expect(member.log).toContain(`"clients":"${clientUrl(member)}"`);
    }
  });

  it('go by the times and bounds that they were given', async () => {
    const [first = '', second = ''] = cluster.endpoints;
    const puts = (count: number) => ({
      success: Array.from({ length: count }, (_, i) => ({ requestPut: { key: bytes(`k${i}`), value: bytes('v') } })),
    });
    const txn = (address: string, count: number): Promise<unknown> =>
      channels.callUnary(address, KV.Txn, puts(count), { deadlineMs: 9_000 });
    await whoeverLeads(() => txn(first, 3));
    await whoeverLeads(() => txn(second, 4));
    expect(await txn(first, 4).catch(statusOf)).toMatchObject({
      details: 'etcdserver: too many operations in txn request',
    });
    const put = (address: string, size: number): Promise<unknown> =>
      channels.callUnary(address, KV.Put, { key: bytes('big'), value: Buffer.alloc(size) }, { deadlineMs: 20_000 });
    await whoeverLeads(() => put(first, 1_700_000));
    expect(await put(second, 1_700_000).catch(statusOf)).toMatchObject({ details: 'etcdserver: request is too large' });
    // One and a half election time-outs at least, or a lease could end while a leader is being found.
    const grant = (address: string) => channels.callUnary(address, LEASE.LeaseGrant, { TTL: 1 }, { deadlineMs: 9_000 });
    expect([(await grant(first)).TTL, (await grant(second)).TTL]).toEqual(['6', '2']);
  });

  it('serve health, version and metrics over HTTP', async () => {
    const [first, second] = cluster.members;
    const besides = (second?.ports.client ?? 0) + 1_000;
    for (const base of [`http://127.0.0.1:${metrics}`, `http://127.0.0.1:${besides}`]) {
      expect(await get(`${base}/health`)).toEqual({ status: 200, body: '{"health":"true"}' });
      expect(await get(`${base}/version`)).toEqual({
        status: 200,
        body: '{"etcdserver":"3.6.0","etcdcluster":"3.6.0"}',
      });
      expect((await get(`${base}/metrics`)).body).toContain('synod_coordination_revision');
    }
    expect(first?.log).toContain(`"http":"http://127.0.0.1:${metrics}"`);
  });

  it('log as much as they were told to', async () => {
    const [first, second] = cluster.members;
    const refused = (member: TestMember | undefined) =>
      channels.callUnary(member?.address ?? '', KV.Range, {}, { deadlineMs: 9_000 }).catch(() => undefined);
    await Promise.all([refused(first), refused(second)]);
    expect(await second?.logged('"message":"a call failed"')).toContain('"level":"debug"');
    expect(first?.log).not.toContain('"level":"debug"');
  });

  it('send heartbeats as often as they were told to', async () => {
    const bases = [
      `http://127.0.0.1:${metrics}`,
      `http://127.0.0.1:${(cluster.members[1]?.ports.client ?? 0) + 1_000}`,
    ];
    const sent = (): Promise<number[]> =>
      Promise.all(bases.map((base) => figure(base, 'synod_stream_messages_total', 'Exchange",direction="sent"')));
    // Ten milliseconds, and a hundred: for as long as it takes the slower one to send a few. A busy machine lets the faster one wait for its turn.
    const ratio = async (before: readonly number[]): Promise<number> =>
      eventually('five heartbeats', async () => {
        const [often = 0, usual = 0] = (await sent()).map((count, index) => count - (before[index] ?? 0));
        return usual >= 5 && often / usual;
      });
    await eventually('more than three times as many heartbeats', async () => (await ratio(await sent())) > 3);
  });

  it('forget by themselves what is older than they were told to keep', async () => {
    const [address = ''] = cluster.endpoints;
    const put = () => channels.callUnary(address, KV.Put, { key: bytes('old') }, { deadlineMs: 9_000 });
    const revision = (await put()).header?.revision ?? '';
    await put();
    const read = () => channels.callUnary(address, KV.Range, { key: bytes('old'), revision }, { deadlineMs: 9_000 });
    expect((await read()).count).toBe('1');
    const refused = (): Promise<string | undefined> =>
      read().then(
        () => undefined,
        (error: unknown) => statusOf(error)?.details,
      );
    await eventually('an old revision to be gone', async () => (await refused()) === COMPACTED);
  });

  whereInstalled('etcdctl', "etcdctl against members started with etcd's flags", () => {
    it('is answered', async () => {
      const etcdctl = new Etcdctl(() => cluster.members.map(clientUrl));
      expect(await etcdctl.said('put', 'a', '1')).toBe('OK\n');
      expect(await etcdctl.said('get', 'a')).toBe('a\n1\n');
      expect((await etcdctl.said('member', 'list')).match(/, started, n\d, /g)).toHaveLength(3);
      expect((await etcdctl.said('endpoint', 'health', '--cluster')).match(/is healthy/g)).toHaveLength(3);
    });
  });

  // The last one: it leaves a cluster that has no majority.
  it('let a voter be added although one is down only where they were told to', async () => {
    const [lax, strict, down] = cluster.members as [TestMember, TestMember, TestMember];
    const call = callerOver(channels);
    const idOf = async (member: TestMember) => (await call(member, MAINTENANCE.Status, {})).header?.memberId ?? '';
    const lead = async (member: TestMember): Promise<void> => {
      const targetID = await idOf(member);
      await eventually(`${member.id} to lead`, async () => {
        const leading = await leaderAmong(call, cluster.members);
        if (leading !== member) await call(leading, MAINTENANCE.MoveLeader, { targetID }).catch(() => undefined);
        return leading === member;
      });
    };
    const add = (at: TestMember): Promise<unknown> =>
      call(at, CLUSTER.MemberAdd, { peerURLs: ['http://127.0.0.1:1'] }).then(
        ({ members }) => members.length,
        (error: unknown) => statusOf(error)?.details,
      );
    await lead(strict);
    await down.kill('SIGKILL');
    // After an election time-out without a word of it, at the latest, the strict one counts it as down: less would not do, and more is no harm.
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(await add(strict)).toBe('etcdserver: unhealthy cluster');
    await lead(lax);
    expect(await add(lax)).toBe(4);
  });
});

describe('a start', () => {
  it('without any flag but ports keeps its data in NAME.etcd, and refuses the folder of an etcd there', async () => {
    const cluster = await TestCluster.plan(1);
    const [member] = cluster.members;
    if (member === undefined) throw new Error('one was planned');
    const flags = ['--name=solo', `--listen-client-urls=${clientUrl(member)}`, `--listen-peer-urls=${peerUrl(member)}`];
    mkdirSync(path.join(cluster.folder, 'solo.etcd/member'), { recursive: true });
    member.run(flags);
    expect(await member.ended()).toBe(1);
    expect(member.log).toMatch(/^error: .*solo\.etcd holds files \(member …\) but no VERSION: it is not a data folder/);
    await cluster.destroy();
  });

  it('with another token waits for its own cluster, and is not counted by this one', async () => {
    const cluster = await TestCluster.plan(3);
    const listed = cluster.members.map((member) => `${member.id}=${peerUrl(member)}`).join();
    cluster.members.forEach((member, index) =>
      member.run([
        ...etcdFlags(member, listed).map((flag) => (index === 2 && flag === 'etcd-cluster-1' ? 'other' : flag)),
      ]),
    );
    const [first, , third] = cluster.members;
    await first?.logged('a founder has another --initial-cluster-token');
    await third?.logged('a founder has another --initial-cluster-token');
    for (const { log } of cluster.members) expect(log).not.toContain('the cluster is founded');
    await cluster.destroy();
  });
});
