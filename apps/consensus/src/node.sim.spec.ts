import { nodeKey, nodesPrefix, prefixRange } from '@synod/coordination';
import { oracleProtocol, RequestStream } from '@synod/protocols';
import type { NodeId } from '@synod/replication';
import type { Disk, SynodError } from '@synod/runtime';
import { calmBut, type NodePorts, type SimNode, World } from '@synod/simulation';
import { ConsensusNode } from './node';
import { EtcdError } from './state/errors';
import { spanOf } from './state/span';
import { get, put, under } from './testing/state-bench';

const NAMES = ['n1', 'n2', 'n3'];

/** A folder of a machine's disk as a disk of its own: another folder is another, empty one. */
function folderOf(disk: Disk, folder: string): Disk {
  const inside = (name: string): string => (name === '' ? folder : `${folder}/${name}`);
  return {
    open: async (name, options) => {
      await disk.makeFolder(folder);
      return disk.open(inside(name), options);
    },
    list: (name) => disk.list(inside(name)),
    makeFolder: (name) => disk.makeFolder(inside(name)),
    remove: (name) => disk.remove(inside(name)),
    rename: (from, to) => disk.rename(inside(from), inside(to)),
    syncDirectory: async (name) => {
      await disk.syncDirectory(inside(name));
      if (name === '') await disk.syncDirectory('');
    },
  };
}

interface TestNode {
  /** Absent until the cluster is founded. */
  node?: ConsensusNode;
  refused?: string;
  readonly ports: NodePorts;
}

/** Members on simulated machines. A machine's folder keeps its incarnation until it is emptied. */
class Cluster {
  readonly world: World;
  readonly nodes: SimNode<TestNode>[];
  /** Members that are expected to end by themselves. */
  readonly removed = new Set<string>();
  readonly tokens = new Map<string, string>();
  readonly incarnations: Map<string, string>;
  founders: readonly string[];
  /** Machines that take a place in the running cluster. */
  readonly joining = new Set<string>();

  constructor(
    seed: number,
    codec = false,
    private readonly names: readonly string[] = NAMES,
  ) {
    this.founders = names;
    this.incarnations = new Map(names.map((name) => [name, `${name}-disk`]));
    this.world = new World({ seed, shape: calmBut({ codec }) });
    this.nodes = names.map((name) => this.world.addNode<TestNode>(name, (ports) => this.makeHost(name, ports)));
  }

  /** A machine of the cluster's world that is no founder. */
  addMachine(name: string): void {
    this.incarnations.set(name, `${name}-disk`);
    this.joining.add(name);
    this.world.addNode<TestNode>(name, (ports) => this.makeHost(name, ports));
  }

  private makeHost(name: string, ports: NodePorts): TestNode {
    const made: TestNode = { ports };
    const incarnation = this.incarnations.get(name) ?? '';
    ConsensusNode.start({
      nodeId: name,
      incarnation,
      joined: false,
      joins: this.joining.has(name),
      token: this.tokens.get(name) ?? 'ours',
      founders: [...this.founders, ...(this.joining.has(name) ? [name] : [])].map((nodeId) => ({
        nodeId,
        address: `${nodeId}:2380`,
      })),
      advertised: { address: `${name}:2379` },
      ports: { ...ports, disk: folderOf(ports.disk, incarnation) },
      store: ports.store,
      peerTransport: ports.transport,
      clientTransport: ports.transport,
      failed: (error) => (this.removed.has(name) ? (made.refused = String(error)) : this.world.fail(error)),
    }).then(
      (node) => (made.node = node),
      (error: SynodError) => (made.refused = error.message),
    );
    return made;
  }

  start(names: readonly string[] = this.names): void {
    for (const name of names) this.world.node(name).start();
  }

  node(name: string): ConsensusNode {
    const node = (this.world.node(name).host as TestNode | undefined)?.node;
    if (node === undefined) throw new Error(`${name} does not run`);
    return node;
  }

  get living(): ConsensusNode[] {
    return this.nodes.map(({ host }) => host?.node).filter((node) => node !== undefined);
  }

  leader(): ConsensusNode | undefined {
    return this.living.find(({ host }) => host.isLeader);
  }

  async awaitLeader(except?: NodeId): Promise<ConsensusNode> {
    const found = (): ConsensusNode | undefined => {
      const leader = this.leader();
      return leader?.nodeId === except ? undefined : leader;
    };
    expect(await this.world.run(() => found() !== undefined)).toBe(true);
    return found()!;
  }

  /** Runs the world until a promise is settled. */
  async settle<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    const mark = (): void => void (settled = true);
    promise.then(mark, mark);
    await this.world.run(() => settled);
    return promise;
  }

  async founded(): Promise<ConsensusNode> {
    this.start();
    const leader = await this.awaitLeader();
    expect(await this.world.run(() => this.living.length === this.names.length)).toBe(true);
    return leader;
  }
}

describe('founding', () => {
  it('waits for every founder, and is the same on all', async () => {
    const cluster = new Cluster(1);
    cluster.start(['n1', 'n2']);
    await cluster.world.run(5_000_000);
    expect(cluster.living).toEqual([]);
    cluster.start(['n3']);
    await cluster.awaitLeader();
    await cluster.world.run(() => cluster.living.length === 3);
    const foundings = cluster.living.map(({ founding }) => founding);
    expect(new Set(foundings.map((each) => JSON.stringify(each))).size).toBe(1);
    expect(foundings[0]?.members).toEqual(
      NAMES.map((nodeId, index) => ({ replicaId: index + 1, nodeId, incarnation: `${nodeId}-disk` })),
    );
  });

  it.each(Array.from({ length: 8 }, (_, seed) => seed + 20))(
    'ends with one founding although machines lose power all the while (seed %i)',
    async (seed) => {
      const cluster = new Cluster(seed);
      const draws = cluster.world.draws('test', 'crashes');
      cluster.start();
      for (let crash = 0; crash < 12; crash++) {
        await cluster.world.run(cluster.world.now + draws.below(150_000));
        const name = NAMES[draws.below(3)]!;
        cluster.world.node(name).kill('power');
        cluster.world.node(name).start();
      }
      await cluster.world.run(() => cluster.living.length === 3);
      expect(new Set(cluster.living.map(({ founding }) => founding.clusterId)).size).toBe(1);
      expect(cluster.nodes.map(({ host }) => host?.refused)).toEqual([undefined, undefined, undefined]);
    },
  );

  it('lets no folder vote of which only the store is left', async () => {
    const cluster = new Cluster(2);
    await cluster.founded();
    cluster.world.node('n1').kill('power');
    await cluster.world.run(cluster.world.now + 2_000_000); // Until it is missed.
    cluster.incarnations.set('n1', 'n1-new-disk');
    cluster.start(['n1']);
    await cluster.world.run(() => cluster.nodes[0]?.host?.refused !== undefined);
    expect(cluster.nodes[0]?.host?.refused).toContain('the write-ahead log does not know of it');
    const replicas = cluster.node('n2').members.map(({ replicaId, learner }) => `${replicaId}${learner ? '?' : ''}`);
    expect(replicas).toEqual(['2', '3', '4?']);
  });

  it('takes back an empty folder as another replica, unless it means another cluster', async () => {
    const cluster = new Cluster(9);
    await cluster.founded();
    const { clusterId } = cluster.node('n2').founding;
    const machine = cluster.world.node('n1');
    const startEmpty = async (token: string, incarnation: string): Promise<TestNode | undefined> => {
      machine.kill('process');
      machine.replaceDisk();
      cluster.incarnations.set('n1', incarnation);
      cluster.tokens.set('n1', token);
      cluster.start(['n1']);
      const host = (): TestNode | undefined => cluster.nodes[0]?.host;
      await cluster.world.run(() => host()?.refused !== undefined || host()?.node !== undefined);
      return host();
    };
    expect((await startEmpty('theirs', 'n1-theirs'))?.refused).toContain(
      `cluster ${clusterId}, which runs at the addresses of --initial-cluster and knows n1, has another --initial-cluster-token`,
    );
    expect(cluster.node('n2').members.map(({ replicaId }) => replicaId)).toEqual([1, 2, 3]);
    expect((await startEmpty('ours', 'n1-new'))?.node?.host.group.status().replicaId).toBe(4);
  });

  it('refuses another list of members than the one that was founded', async () => {
    const cluster = new Cluster(3);
    await cluster.founded();
    cluster.founders = ['n2', 'n3'];
    cluster.world.node('n3').kill('process');
    cluster.world.node('n3').start();
    await cluster.world.run(() => cluster.nodes[2]?.host?.refused !== undefined);
    expect(cluster.nodes[2]?.host?.refused).toContain('give every member the same --initial-cluster');
  });
});

// As many as half of them are no majority, on neither side.
it.each([
  [2, 0],
  [4, 1],
])(
  '%i founders found one cluster, which serves on without %i of them and not without one more',
  async (count, spare) => {
    const names = ['n1', 'n2', 'n3', 'n4'].slice(0, count);
    const cluster = new Cluster(30 + count, false, names);
    const leader = await cluster.founded();
    expect(new Set(cluster.living.map(({ founding }) => JSON.stringify(founding))).size).toBe(1);
    expect(leader.founding.members).toHaveLength(count);
    const write = (): Promise<unknown> => cluster.settle(leader.host.put(put('a', '1'), 'client'));
    const others = names.filter((name) => name !== leader.nodeId);
    for (const name of others.slice(0, spare)) cluster.world.node(name).kill('power');
    await write();
    const last = others[spare]!;
    cluster.world.node(last).kill('power');
    await expect(write()).rejects.toThrow(EtcdError);
    cluster.world.node(last).start();
    const next = await cluster.awaitLeader();
    await cluster.settle(next.host.put(put('b', '1'), 'client'));
    expect(await cluster.settle(next.host.range(get('a')))).toMatchObject({ count: 1n });
  },
);

describe.each([
  ['frozen objects', false],
  ['protobuf', true],
])('the members, speaking %s', (_, codec) => {
  it('serve every client alike', async () => {
    const cluster = new Cluster(4, codec);
    await cluster.founded();
    for (const name of NAMES) await cluster.settle(cluster.node(name).host.put(put(name, name), 'client'));
    for (const name of NAMES) {
      expect(await cluster.settle(cluster.node(name).host.range(under('n')))).toMatchObject({ count: 3n });
    }
    const { id } = await cluster.settle(cluster.node('n3').host.leases.grant(0n, 5n, 'client'));
    await cluster.settle(cluster.node('n2').host.put(put('leased', '1', { lease: id }), 'client'));
    expect(await cluster.settle(cluster.node('n1').host.leases.timeToLive(id))).toMatchObject({
      grantedSeconds: 5n,
      keys: [Buffer.from('leased')],
    });
    expect(await cluster.settle(cluster.node('n3').host.leases.keepAlive(id))).toMatchObject({ ttlSeconds: 5n });
  });
});

it('keeps what was acknowledged when the leader loses power, and serves on', async () => {
  const cluster = new Cluster(5);
  const leader = await cluster.founded();
  await cluster.settle(leader.host.put(put('k1', '1'), 'client'));
  cluster.world.node(leader.nodeId).kill('power');
  const next = await cluster.awaitLeader(leader.nodeId);
  expect(await cluster.settle(next.host.range(get('k1')))).toMatchObject({ count: 1n });
  await cluster.settle(next.host.put(put('k2', '1'), 'client'));
  cluster.world.node(leader.nodeId).start();
  await cluster.world.run(() => cluster.living.length === 3);
  expect(await cluster.settle(cluster.node(leader.nodeId).host.range(under('k')))).toMatchObject({ count: 2n });
}, 20_000);

it('waits for the next leader with a write that never reached the last one', async () => {
  const cluster = new Cluster(9);
  const leader = await cluster.founded();
  const follower = cluster.node(NAMES.find((name) => name !== leader.nodeId)!);
  await cluster.settle(follower.host.put(put('a', '1'), 'client'));
  cluster.world.node(leader.nodeId).kill('process');
  await cluster.world.run(cluster.world.now + 20_000);
  expect(await cluster.settle(follower.host.put(put('a', '2'), 'client'))).toMatchObject({ kind: 'put' });
});

it('ends a lease after its time although the leader changes, and one that is renewed not before', async () => {
  const cluster = new Cluster(10);
  const leader = await cluster.founded();
  const { world } = cluster;
  const begun = world.now;
  for (const id of [1n, 2n]) await cluster.settle(leader.host.leases.grant(id, 20n, 'client'));
  await world.run(begun + 14_000_000);
  await cluster.settle(leader.host.leases.keepAlive(2n));
  const renewed = world.now;
  await world.run(begun + 16_000_000);
  world.node(leader.nodeId).kill('power');
  const next = await cluster.awaitLeader(leader.nodeId);
  expect((await cluster.settle(next.host.leases.list())).sort()).toContain(1n);
  const ended = async (id: bigint): Promise<number> => {
    while ((await cluster.settle(next.host.leases.list())).includes(id)) await world.run(world.now + 100_000);
    return world.now;
  };
  // Half of the first ten seconds were logged last, and an election takes a moment.
  const first = await ended(1n);
  expect(first - begun).toBeGreaterThanOrEqual(20_000_000);
  expect(first - begun).toBeLessThan(26_000_000);
  expect((await ended(2n)) - renewed).toBeGreaterThanOrEqual(20_000_000);
});

it('refuses, and says so, while it is cut off from the others', async () => {
  const cluster = new Cluster(6);
  await cluster.founded();
  for (const name of ['n2', 'n3']) cluster.world.node(name).kill('process');
  const alone = cluster.node('n1').host.put(put('a', '1'), 'client');
  await expect(cluster.settle(alone)).rejects.toThrow(EtcdError);
  expect(await cluster.settle(cluster.node('n1').host.range(get('a'), true))).toMatchObject({ count: 0n });
});

it('registers each member, and hands out timestamps at the leader only', async () => {
  const cluster = new Cluster(7, true);
  const leader = await cluster.founded();
  const { key, rangeEnd } = prefixRange(nodesPrefix('consensus'));
  await cluster.world.run(() => leader.oracle.holds && NAMES.every((name) => leader.clientAddress(name) !== undefined));
  const nodes = await cluster.settle(leader.coordination.range(key, rangeEnd));
  expect(nodes.entries.map((entry) => entry.key)).toEqual(NAMES.map((name) => nodeKey('consensus', name)));

  const client = cluster.world.addNode('client', (ports) => ports, { role: 'client' });
  client.start();
  await cluster.world.run(() => client.host !== undefined);
  const follower = NAMES.find((name) => name !== leader.nodeId)!;
  const asked = (name: string): Promise<unknown> =>
    cluster.settle(
      new RequestStream(client.host!, oracleProtocol(), `${name}:2379`).request(
        { kind: 'timestamps', count: 5 },
        { timeoutUs: 1_000_000 },
      ),
    );
  expect(await asked(leader.nodeId)).toMatchObject({ kind: 'timestamps', count: 5 });
  await cluster.world.run(() => cluster.node(follower).clientAddress(leader.nodeId) !== undefined);
  await expect(asked(follower)).rejects.toMatchObject({
    kind: 'not-leader',
    details: { hint: `${leader.nodeId}:2379` },
  });
});

it('stops by itself, taking itself off the list', async () => {
  const cluster = new Cluster(8);
  await cluster.founded();
  const node = cluster.node('n3');
  await cluster.world.run(() => cluster.node('n1').clientAddress('n3') !== undefined);
  await cluster.settle(node.stop());
  expect(await cluster.world.run(() => cluster.node('n1').clientAddress('n3') === undefined)).toBe(true);
});

describe('members that come and go', () => {
  it('are not judged by a member that leads nobody: its view may be old', async () => {
    const cluster = new Cluster(61);
    await cluster.founded();
    for (const name of ['n1', 'n2']) cluster.world.node(name).kill('process');
    await cluster.world.run(cluster.world.now + 5_000_000);
    const change = cluster.node('n3').host.changeMembers({ kind: 'remove', replicaId: 99 });
    await expect(cluster.settle(change)).rejects.toMatchObject({ code: 'timed-out' });
  });

  it('takes in a node with an empty folder, that finds everything, votes, and can lead', async () => {
    const cluster = new Cluster(60, true);
    const leader = await cluster.founded();
    await cluster.settle(leader.host.put(put('k', '1'), 'client'));
    await cluster.world.run(cluster.world.now + 1_000_000); // Until all are connected.
    cluster.addMachine('n4');
    cluster.start(['n4']);
    const refused = (): string | undefined => (cluster.world.node('n4').host as TestNode | undefined)?.refused;
    await cluster.world.run(() => refused() !== undefined);
    expect(refused()).toContain('has no place at n4:2380 for n4: add it first');
    cluster.world.node('n4').kill('process');

    const added = await cluster.settle(
      cluster.node('n2').host.changeMembers({ kind: 'add', address: 'n4:2380', learner: true }),
    );
    expect(added.members.at(-1)).toEqual({ replicaId: 4, learner: true, address: 'n4:2380' });
    cluster.start(['n4']);
    const joined = (): ConsensusNode | undefined => (cluster.world.node('n4').host as TestNode | undefined)?.node;
    await cluster.world.run(() => joined()?.host.group.status().leader !== undefined);
    expect(await cluster.settle(joined()!.host.range(get('k')))).toMatchObject({ count: 1n });
    expect(joined()!.host.group.status().members.at(-1)).toMatchObject({ nodeId: 'n4', incarnation: 'n4-disk' });

    await cluster.settle(joined()!.host.changeMembers({ kind: 'promote', replicaId: 4 }));
    await cluster.settle(leader.host.moveLeader('n4'));
    await cluster.world.run(() => joined()!.host.isLeader);
    cluster.removed.add(leader.nodeId);
    const { replicaId } = leader.host.group.status();
    await cluster.settle(joined()!.host.changeMembers({ kind: 'remove', replicaId }));
    await cluster.settle(joined()!.host.put(put('k', '2'), 'client'));
    const machine = cluster.world.node(leader.nodeId).host as TestNode;
    await cluster.world.run(() => machine.refused !== undefined);
    expect(machine.refused).toContain(`${leader.nodeId} was removed from the cluster and stops`);

    // After a restart it knows its place, and that the others have theirs.
    cluster.world.node('n4').kill('power');
    cluster.start(['n4']);
    await cluster.world.run(() => joined() !== undefined);
    expect(await cluster.settle(joined()!.host.range(get('k')))).toMatchObject({
      entries: [{ value: Buffer.from('2') }],
    });
    expect(joined()!.members.map((member) => member.replicaId)).toEqual(
      [1, 2, 3, 4].filter((each) => each !== replicaId),
    );
  });
});

// Each once was a bug of etcd; the number is that of its report.
describe('a member alone that loses power at any moment', () => {
  it.each([70, 71, 72])(
    'etcd#14370, #13766, #17780: has what it acknowledged, once, and its revision never goes back (seed %i)',
    async (seed) => {
      const cluster = new Cluster(seed);
      const { world } = cluster;
      const draws = world.draws('test', 'crashes');
      cluster.founders = ['n1'];
      cluster.start(['n1']);
      let acknowledged = 0n;
      let asked = 0n;
      let revision = 0n;
      for (let crash = 0; crash < 12; crash++) {
        const { host } = await cluster.awaitLeader();
        const found = await cluster.settle(host.range(get('k')));
        // A version counts the puts of a key: one that was done twice would show.
        const version = found.entries[0]?.version ?? 0n;
        expect(version).toBeGreaterThanOrEqual(acknowledged);
        expect(version).toBeLessThanOrEqual(asked);
        expect(found.revision).toBeGreaterThanOrEqual(revision);
        acknowledged = asked = version;
        const acknowledge = (at: bigint): void => {
          acknowledged++;
          revision = at;
        };
        for (let write = 0; write < 6; write++) {
          asked++;
          void host.put(put('k', 'x'.repeat(100)), 'client').then((done) => acknowledge(done.revision), lost);
          if (write === 3) void host.compact(found.revision, false).then(lost, lost);
          await world.run(world.now + draws.below(12_000));
        }
        world.node('n1').kill('power');
        cluster.start(['n1']);
      }
      expect(acknowledged).toBeGreaterThan(12n);
    },
  );
});

function lost(): void {}

/** The revisions that a watch from one on is given by a member. */
function revisionsAt({ host }: ConsensusNode, startRevision: bigint): bigint[] {
  const revisions: bigint[] = [];
  host.watches.watch(
    {
      span: spanOf(Buffer.from('k'), Buffer.from('l')),
      startRevision,
      withoutPuts: false,
      withoutDeletes: false,
      previous: false,
    },
    { deliver: (_, revision) => revisions.push(revision) > 0, compacted: () => revisions.push(-1n) },
  );
  return revisions;
}

it.each([80, 81])(
  'etcd#15271: a watch neither goes back nor misses anything when its member was cut off (seed %i)',
  async (seed) => {
    const cluster = new Cluster(seed);
    const { world } = cluster;
    const leader = await cluster.founded();
    const apart = cluster.node(NAMES.find((name) => name !== leader.nodeId)!);
    const written: bigint[] = [];
    const write = async (): Promise<void> => {
      const { revision } = await cluster.settle(leader.host.put(put('k', '1'), 'client'));
      written.push(revision);
    };
    await write();
    await cluster.settle(apart.host.range(get('k')));
    const stayed = revisionsAt(apart, written[0]!);
    const others = NAMES.filter((name) => name !== apart.nodeId);
    const cut = others.flatMap((name) => [
      { from: name, to: apart.nodeId },
      { from: apart.nodeId, to: name },
    ]);
    world.network.cut(cut);
    for (let index = 0; index < 5; index++) await write();
    // A client that watched elsewhere so far goes on at the member that is behind.
    const came = revisionsAt(apart, written.at(-1)! + 1n);
    await world.run(world.now + 1_000_000);
    expect([stayed, came]).toEqual([written.slice(0, 1), []]);
    world.network.uncut(cut);
    for (let index = 0; index < 3; index++) await write();
    await cluster.settle(apart.host.range(get('k')));
    await world.run(world.now + 1_000_000);
    expect(stayed).toEqual(written);
    expect(came).toEqual(written.slice(-3));
  },
);

it.each([90, 91])(
  'etcd#20418, #21378: a leader that was paused while another one wrote answers no read from before (seed %i)',
  async (seed) => {
    const cluster = new Cluster(seed);
    const { world } = cluster;
    const paused = await cluster.founded();
    await cluster.settle(paused.host.put(put('k', 'old'), 'client'));
    world.node(paused.nodeId).pause();
    const next = (): ConsensusNode | undefined => cluster.living.find((node) => node !== paused && node.host.isLeader);
    expect(await world.run(() => next() !== undefined)).toBe(true);
    await cluster.settle(next()!.host.put(put('k', 'new'), 'client'));
    expect(paused.host.isLeader).toBe(true); // It knows nothing of it yet.
    world.node(paused.nodeId).resume();
    const { entries } = await cluster.settle(paused.host.range(get('k')));
    expect(entries[0]?.value.toString()).toBe('new');
  },
);
