import { eventually } from '@synod/eventually';
import { whereInstalled } from '@synod/test-processes';
import { Etcdctl } from './etcdctl';
import { CHECK_MS_MAX, checkDataScale, runEveryGroup, type EtcdctlBench } from './etcdctl-groups';
import { TestCluster, type TestMember } from './test-cluster';

let cluster: TestCluster;
const etcdctl = new Etcdctl(() => cluster.endpoints);

beforeAll(async () => {
  cluster = await TestCluster.start(3);
});

afterAll(() => cluster.destroy());

function bench(): EtcdctlBench {
  return {
    etcdctl,
    endpoints: cluster.endpoints,
    mirrorFlags: [],
    folder: cluster.folder,
    usersAreChecked: false,
  };
}

interface Roles {
  readonly leader: TestMember;
  readonly followers: readonly [TestMember, TestMember];
}

async function roles(): Promise<Roles> {
  const { endpoint } = await etcdctl.leading();
  const [followers, leaders] = [false, true].map((leads) =>
    cluster.members.filter(({ address }) => (address === endpoint) === leads),
  ) as [[TestMember, TestMember], [TestMember]];
  return { leader: leaders[0], followers };
}

it('founds itself once, and every member becomes ready', async () => {
  const clusters = await Promise.all(cluster.members.map((member) => member.ready()));
  expect(new Set(clusters.map((line) => /"cluster":"([0-9a-f]+)"/.exec(line)?.[1])).size).toBe(1);
});

whereInstalled('etcdctl', 'etcdctl against consensus', () => {
  it('puts, gets and deletes', async () => {
    expect(await etcdctl.lines('put', 'a/1', 'one')).toEqual(['OK']);
    expect(await etcdctl.lines('put', 'a/1', 'uno', '--prev-kv')).toEqual(['OK', 'a/1', 'one']);
    await etcdctl.lines('put', 'a/2', 'two');
    expect(await etcdctl.lines('get', 'a/1')).toEqual(['a/1', 'uno']);
    expect(
      await etcdctl.lines('get', 'a/', '--prefix', '--keys-only', '--order', 'DESCEND', '--sort-by', 'KEY'),
    ).toEqual(['a/2', 'a/1']);
    expect(await etcdctl.lines('get', 'a/1', 'a/9', '--limit=1', '--print-value-only')).toEqual(['uno']);
    expect(await etcdctl.json('get', 'a/', '--prefix', '--limit=1')).toMatchObject({ more: true, count: 2 });
    expect(await etcdctl.lines('get', 'a/', '--prefix', '--consistency=s', '--keys-only')).toEqual(['a/1', 'a/2']);
    expect(await etcdctl.lines('del', 'a/', '--prefix', '--prev-kv')).toEqual(['2', 'a/1', 'uno', 'a/2', 'two']);
    expect(await etcdctl.lines('get', 'a/', '--prefix')).toEqual([]);
  });

  it('reads the past until it is compacted', async () => {
    await etcdctl.lines('put', 'past', 'old');
    const { header } = await etcdctl.json('get', 'past');
    const { revision } = header as { revision: number };
    await etcdctl.lines('put', 'past', 'new');
    expect(await etcdctl.lines('get', 'past', `--rev=${revision}`)).toEqual(['past', 'old']);
    expect(await etcdctl.refusal('get', 'past', `--rev=${revision + 1_000}`)).toBe(
      'etcdserver: mvcc: required revision is a future revision',
    );
    expect(await etcdctl.lines('compaction', String(revision + 1), '--physical')).toEqual([
      `compacted revision ${revision + 1}`,
    ]);
    expect(await etcdctl.refusal('get', 'past', `--rev=${revision}`)).toBe(
      'etcdserver: mvcc: required revision has been compacted',
    );
    expect(await etcdctl.refusal('compaction', String(revision))).toBe(
      'etcdserver: mvcc: required revision has been compacted',
    );
    expect(await etcdctl.refusal('watch', 'past', `--rev=${revision}`)).toBe(
      'etcdserver: mvcc: required revision has been compacted',
    );
  });

  it('runs transactions', async () => {
    await etcdctl.lines('put', 't', '1');
    const txn = async (script: string): Promise<string[]> =>
      (await etcdctl.run(['txn'], { input: script })).said.split('\n').filter((line) => line !== '');
    expect(await txn('value("t") = "1"\n\nput t 2\nget t\n\nput t lost\n\n')).toEqual(['SUCCESS', 'OK', 't', '2']);
    expect(await txn('mod("t") = "1"\nversion("t") > "0"\n\nput t lost\n\nget t\n\n')).toEqual(['FAILURE', 't', '2']);
    expect((await txn('\n\nput t 1\nput t 2\n\n\n')).join()).toContain('duplicate key given in txn request');
  });

  it('watches the past and the present', async () => {
    await etcdctl.lines('put', 'w', '1');
    const { header } = await etcdctl.json('get', 'w');
    const revision = (header as { revision: number }).revision;
    const watch = etcdctl
      .at(cluster.members[1]?.address ?? '')
      .run(['watch', 'w', '--prefix', `--rev=${revision}`, '--prev-kv'], { until: /DELETE\n(.*\n){3}/ });
    await etcdctl.lines('put', 'w', '2');
    await etcdctl.lines('del', 'w');
    const heard = (await watch).out.toString().split('\n');
    expect(heard.slice(0, 11)).toEqual(['PUT', 'w', '1', 'PUT', 'w', '1', 'w', '2', 'DELETE', 'w', '2']);
  });

  it('grants, renews, shows and revokes leases', async () => {
    const granted = await etcdctl.lines('lease', 'grant', '60');
    const id = /lease ([0-9a-f]+) granted with TTL\(60s\)/.exec(granted[0] ?? '')?.[1] ?? '';
    await etcdctl.lines('put', 'leased', '1', `--lease=${id}`);
    const since = performance.now();
    expect((await etcdctl.lines('lease', 'keep-alive', '--once', id))[0]).toContain('keepalived with TTL(60)');
    const told = (await etcdctl.lines('lease', 'timetolive', id, '--keys'))[0] ?? '';
    expect(told).toMatch(/granted with TTL\(60s\), remaining\(\d+s\), attached keys\(\[leased\]\)/);
    const remaining = Number(/remaining\((\d+)s\)/.exec(told)?.[1]);
    expect(remaining).toBeLessThanOrEqual(60);
    expect(remaining).toBeGreaterThanOrEqual(60 - Math.ceil((performance.now() - since) / 1_000));
    expect((await etcdctl.lines('lease', 'list')).join()).toContain(id);
    expect(await etcdctl.lines('lease', 'revoke', id)).toEqual([`lease ${id} revoked`]);
    expect(await etcdctl.lines('get', 'leased')).toEqual([]);
    expect(await etcdctl.refusal('lease', 'revoke', id)).toContain('etcdserver: requested lease not found');
    expect((await etcdctl.lines('lease', 'timetolive', id))[0]).toContain('already expired');
    expect(await etcdctl.refusal('put', 'leased', '1', `--lease=${id}`)).toBe('etcdserver: requested lease not found');
  });

  it('locks and elects', async () => {
    expect(await etcdctl.lines('lock', 'the-lock', 'echo', 'held')).toEqual(['held']);
    const elected = await etcdctl.run(['elect', 'the-office', 'me'], { until: /^me$/m });
    expect(elected.out.toString()).toMatch(/^the-office\/[0-9a-f]+\nme\n/);
  });

  it('does something of every group', async () => {
    await etcdctl.lines('user', 'add', 'root:pw');
    await runEveryGroup(bench(), 'in-the-clear');
  });

  it('checks how much memory data take', () => checkDataScale(bench()), CHECK_MS_MAX);

  it('shows its members and their health', async () => {
    const members = await etcdctl.lines('member', 'list');
    expect(members).toHaveLength(3);
    for (const { id, address, ports } of cluster.members) {
      const row = members.find((line) => line.includes(`, started, ${id}, `));
      expect(row).toContain(`http://127.0.0.1:${ports.peer}, http://${address}, false`);
    }
    expect((await etcdctl.said('endpoint', 'health')).match(/is healthy/g)).toHaveLength(3);
    const status = await eventually('three members, one of which leads', async () => {
      const rows = await etcdctl.status();
      return rows.length === 3 && rows.filter(([, , , , leads]) => leads === 'true').length === 1 && rows;
    });
    expect(status.map(([, , release]) => release)).toEqual(['3.6.0', '3.6.0', '3.6.0']);
    expect(await etcdctl.lines('alarm', 'list')).toEqual([]);
  });

  it('moves the leader, and hands over when the leader stops', async () => {
    const ids = new Map((await etcdctl.status()).map(([endpoint = '', id = '']) => [endpoint, id]));
    const move = (at: TestMember, target = ''): Promise<string> => etcdctl.at(at.address).said('move-leader', target);
    // An election in between makes somebody else the leader: then all of it is said again.
    const refused = await eventually('a leader that stays one', async () => {
      const { leader, followers } = await roles();
      const [follower, other] = followers;
      const refused = [await move(leader, 'abcdef'), await move(follower, ids.get(other.address))];
      return (await roles()).leader === leader && refused;
    });
    expect(refused[0]).toContain('etcdserver: bad leader transferee');
    expect(refused[1]).toContain('no leader endpoint given');

    const { endpoint, said, expected } = await etcdctl.moveLeader();
    expect(said).toBe(expected);
    const leader = cluster.members.find(({ address }) => address === endpoint) as TestMember;
    await leader.kill('SIGTERM');
    expect(leader.log).toContain('no longer leads group'); // A leader that only ends never says so.
    const others = cluster.members.filter((member) => member !== leader).map(({ address }) => address);
    expect(await etcdctl.at(...others).persist('put', 'handed-over', '1')).toBe('OK\n');
    leader.start();
    await leader.ready();
  });

  it('refuses in the words of etcd', async () => {
    expect(await etcdctl.refusal('put', '', 'x')).toBe('etcdserver: key is not provided');
    expect(await etcdctl.refusal('put', '\u0000synod/oracle', 'x').catch(() => 'not an argument')).toBe(
      'not an argument',
    );
    expect(await etcdctl.refusal('put', 'missing', '--ignore-value')).toBe('etcdserver: key not found');
    const taken = `http://127.0.0.1:${cluster.members[0]?.ports.peer}`;
    expect(await etcdctl.refusal('member', 'add', 'n4', `--peer-urls=${taken}`)).toBe(
      'etcdserver: Peer URLs already exists',
    );
  });

  it('serves on when the leader is killed, and the leader comes back with everything', async () => {
    await etcdctl.lines('put', 'durable', '1');
    const { leader, followers } = await roles();
    await leader.kill('SIGKILL');
    expect(await etcdctl.at(...followers.map(({ address }) => address)).persist('put', 'durable', '2')).toBe('OK\n');
    leader.start();
    await leader.ready();
    expect(await etcdctl.at(leader.address).lines('get', 'durable')).toEqual(['durable', '2']);
  });
});
