import { voters } from '@synod/paxos';
import { World, type NodePorts, type SimNode } from '@synod/simulation';
import type { StoreTransaction } from '@synod/runtime';
import type { GroupConfiguration, GroupMember, ReconfigurableGroup, StateMachine } from './api';
import { peerProtocol } from './peer-codec';
import { ReplicaHost } from './replica-host';

const GROUP = 'g';
const FOUNDERS = ['n1', 'n2', 'n3'];
const NAMES = [...FOUNDERS, 'n4', 'n5', 'n6', 'n7'];
const PREFIX = Buffer.from([1]);

/** The set of all words. */
class Words implements StateMachine<void> {
  apply(transaction: StoreTransaction, command: Uint8Array): void {
    transaction.put(Buffer.concat([PREFIX, command]), Buffer.alloc(0));
  }
}

interface TestHost {
  readonly host: ReplicaHost;
  readonly group: ReconfigurableGroup<void>;
  has(word: string): boolean;
}

/** A group whose members come from a pool of machines. */
class Cluster {
  readonly world: World;
  readonly nodes: readonly SimNode<TestHost>[];
  /** What a machine was told when it took its place: as durable as the file that a node keeps it in. */
  readonly joined = new Map<string, GroupConfiguration>();
  readonly removed = new Set<string>();
  readonly refusals = new Map<string, string>();
  private words = 0;

  constructor(seed: number) {
    this.world = new World({ seed });
    (this.world.shape.network as { codec: boolean }).codec = seed % 2 === 0;
    this.nodes = NAMES.map((name) => this.world.addNode<TestHost>(name, (ports) => this.makeHost(name, ports)));
    for (const name of FOUNDERS) this.world.node(name).start();
  }

  private async makeHost(name: string, ports: NodePorts): Promise<TestHost> {
    const host = await ReplicaHost.open({
      identity: { clusterId: 'test', nodeId: name, incarnation: `${name}-disk` },
      ports,
      store: ports.store,
      peerProtocol: peerProtocol(),
      walFolder: 'wal',
      failed: (error) => this.world.fail(error),
    });
    const joined = this.joined.get(name);
    const known = joined?.members ?? FOUNDERS.map((nodeId) => ({ nodeId }));
    for (const { nodeId } of known) if (nodeId !== undefined) host.setPeer(nodeId, `${nodeId}:1`);
    try {
      const group = host.addGroup({
        founding: {
          group: GROUP,
          members: FOUNDERS.map((nodeId, index) => ({ replicaId: index + 1, nodeId, incarnation: `${nodeId}-disk` })),
        },
        stateMachine: new Words(),
        preferred: false,
        ...(joined === undefined ? {} : { joined }),
        configurationChanged: ({ members }) => {
          for (const { nodeId } of members) if (nodeId !== undefined) host.setPeer(nodeId, `${nodeId}:1`);
        },
        removed: () => this.removed.add(name),
      });
      host.start();
      return { host, group, has: (word) => ports.store.get(Buffer.concat([PREFIX, Buffer.from(word)])) !== undefined };
    } catch (error) {
      this.refusals.set(name, (error as Error).message);
      throw error;
    }
  }

  host(name: string): TestHost | undefined {
    return this.world.node(name).host as TestHost | undefined;
  }

  get leader(): ReconfigurableGroup<void> | undefined {
    return this.nodes
      .filter(({ name }) => !this.removed.has(name))
      .map((node) => node.host?.group)
      .find((group) => group?.status().role === 'leader');
  }

  async settle<T>(promise: Promise<T>, withinUs: number): Promise<T | undefined> {
    let settled: T | undefined;
    void promise.then((result) => (settled = result));
    await this.world.run(() => settled !== undefined, withinUs);
    return settled;
  }

  /** Writes a word of its own until it is acknowledged. */
  async write(attempts = 40): Promise<string> {
    const word = `w${++this.words}`;
    for (let attempt = 0; attempt < attempts; attempt++) {
      await this.world.run(() => this.leader !== undefined, 2_000_000);
      const result = this.leader && (await this.settle(this.leader.propose(Buffer.from(word)), 3_000_000));
      if (result?.kind === 'applied') return word;
      await this.world.run(this.world.now + 200_000);
    }
    throw new Error(`no progress: ${JSON.stringify(this.nodes.map(({ host }) => host?.group.status()))}`);
  }

  /** Proposes what a leader makes of its configuration. @returns whether it was chosen, as far as the leader could tell */
  async change(next: (configuration: GroupConfiguration) => readonly GroupMember[] | undefined): Promise<boolean> {
    await this.world.run(() => this.leader !== undefined, 5_000_000);
    const { leader } = this;
    const members = leader && next(leader.configuration);
    if (members === undefined) return false;
    const { version, highestId } = leader!.configuration;
    const result = await this.settle(
      leader!.change({
        version: version + 1,
        members,
        highestId: Math.max(highestId, ...members.map(({ replicaId }) => replicaId)),
      }),
      5_000_000,
    );
    return result?.kind === 'changed';
  }

  /** Adds the machine's replica, tells it so, and starts it. */
  async add(name: string, learner: boolean): Promise<boolean> {
    const added = await this.change(({ members, highestId }) => [
      ...members,
      { replicaId: highestId + 1, learner, nodeId: name, incarnation: `${name}-disk` },
    ]);
    const told = this.leader?.configuration;
    if (!added || told?.members.every(({ nodeId }) => nodeId !== name) !== false) return false;
    this.joined.set(name, told);
    this.world.node(name).start();
    return true;
  }

  promote(name: string): Promise<boolean> {
    return this.change(({ members }) =>
      members.map((member) => (member.nodeId === name ? { ...member, learner: false } : member)),
    );
  }

  remove(name: string): Promise<boolean> {
    return this.change(({ members }) => members.filter(({ nodeId }) => nodeId !== name));
  }

  /** Runs until every member has applied the same. */
  async converge(): Promise<GroupConfiguration> {
    const agreed = (): boolean => {
      const { leader } = this;
      if (leader === undefined) return false;
      const { chosenThrough } = leader.status();
      return leader.configuration.members.every(
        ({ nodeId }) => this.host(nodeId!)?.group.status().appliedThrough === chosenThrough,
      );
    };
    if (!(await this.world.run(agreed, 30_000_000))) throw new Error('the members do not come to agree');
    return this.leader!.configuration;
  }
}

describe('members that come and go', () => {
  it('moves a group onto other machines, one by one, with writes going on', async () => {
    const cluster = new Cluster(1);
    const words = [await cluster.write()];
    for (const [incoming, outgoing] of [
      ['n4', 'n1'],
      ['n5', 'n2'],
      ['n6', 'n3'],
    ] as const) {
      expect(await cluster.add(incoming, true)).toBe(true);
      words.push(await cluster.write());
      await cluster.converge();
      expect(await cluster.promote(incoming)).toBe(true);
      words.push(await cluster.write());
      expect(await cluster.remove(outgoing)).toBe(true);
      words.push(await cluster.write());
      expect(await cluster.world.run(() => cluster.removed.has(outgoing), 10_000_000)).toBe(true);
      cluster.world.node(outgoing).kill('process');
    }
    const { members } = await cluster.converge();
    expect(members.map(({ replicaId, nodeId, learner }) => [replicaId, nodeId, learner])).toEqual([
      [4, 'n4', false],
      [5, 'n5', false],
      [6, 'n6', false],
    ]);
    for (const name of ['n4', 'n5', 'n6']) expect(words.filter((word) => !cluster.host(name)!.has(word))).toEqual([]);
  });

  it('tells a replica that was removed while it was down, which then never starts again', async () => {
    const cluster = new Cluster(2);
    await cluster.write();
    const victim = FOUNDERS.find((name) => cluster.leader!.status().leader !== name)!;
    cluster.world.node(victim).kill('power');
    expect(await cluster.remove(victim)).toBe(true);
    await cluster.write();
    cluster.world.node(victim).start();
    expect(await cluster.world.run(() => cluster.removed.has(victim), 20_000_000)).toBe(true);
    cluster.world.node(victim).kill('process');
    cluster.world.node(victim).start();
    await cluster.world.run(() => cluster.refusals.has(victim), 5_000_000).catch(() => undefined);
    expect(cluster.refusals.get(victim)).toContain(`${victim} was removed from group g and takes part no more`);
  });

  it('hands over when the leader is removed, and refuses a change made for an old configuration', async () => {
    const cluster = new Cluster(3);
    await cluster.write();
    const old = cluster.leader!;
    const { leader } = old.status();
    const stale = { ...old.configuration, version: old.configuration.version + 2 };
    expect(await cluster.settle(old.change(stale), 1_000_000)).toEqual({ kind: 'conflict' });
    const before = cluster.world.now;
    expect(await cluster.remove(leader!)).toBe(true);
    await cluster.world.run(() => cluster.leader !== undefined && cluster.leader !== old);
    expect(cluster.world.now - before).toBeLessThan(300_000); // No election timeout.
    await cluster.write();
    const { members } = await cluster.converge();
    expect(members.map(({ nodeId }) => nodeId)).toEqual(FOUNDERS.filter((name) => name !== leader));
  });

  it.each(Array.from({ length: 12 }, (_, index) => index + 10))(
    'keeps every word, and serves on, whatever happens to its members (seed %i)',
    async (seed) => {
      const cluster = new Cluster(seed);
      const draws = cluster.world.draws('test', 'changes');
      const words = [await cluster.write()];
      const spares = NAMES.filter((name) => !FOUNDERS.includes(name));
      for (let round = 0; round < 14; round++) {
        const configuration = cluster.leader?.configuration;
        const members = configuration?.members ?? [];
        const some = members.length > 0 ? draws.pick(members).nodeId! : 'n1';
        switch (draws.below(5)) {
          case 0: {
            const spare = spares.shift();
            if (spare !== undefined) await cluster.add(spare, draws.chance(1, 2));
            break;
          }
          case 1:
            await cluster.promote(some);
            break;
          case 2:
            if (configuration !== undefined && voters(configuration).length > 2) await cluster.remove(some);
            break;
          case 3:
            if (cluster.leader !== undefined) await cluster.settle(cluster.leader.transferLeadership(some), 3_000_000);
            break;
          case 4: {
            cluster.world.node(some).kill('power');
            if (draws.chance(1, 2)) await cluster.world.run(cluster.world.now + draws.below(3_000_000));
            cluster.world.node(some).start();
          }
        }
        words.push(await cluster.write());
      }
      const { members } = await cluster.converge();
      for (const { nodeId } of members) {
        expect(words.filter((word) => !cluster.host(nodeId!)!.has(word))).toEqual([]);
      }
    },
  );
});
