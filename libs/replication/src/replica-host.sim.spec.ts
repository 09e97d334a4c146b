import { World, type NodePorts, type SimNode } from '@synod/simulation';
import type { StoreTransaction } from '@synod/runtime';
import type { Founding, Group, StateMachine } from './api';
import { peerProtocol } from './peer-codec';
import { ReplicaHost } from './replica-host';

/** A log of words: `apply` appends, and says how many there are. */
class Words implements StateMachine<number> {
  constructor(private readonly prefix: Buffer) {}

  apply(transaction: StoreTransaction, command: Uint8Array): number {
    const count = this.count(transaction) + 1;
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(count);
    transaction.put(Buffer.concat([this.prefix, Buffer.from('count')]), bytes);
    transaction.put(Buffer.concat([this.prefix, Buffer.from('word'), bytes]), command);
    return count;
  }

  count(reader: { get(key: Uint8Array): Buffer | undefined }): number {
    return reader.get(Buffer.concat([this.prefix, Buffer.from('count')]))?.readUInt32BE() ?? 0;
  }
}

interface TestHost {
  readonly host: ReplicaHost;
  readonly groups: readonly Group<number>[];
}

const NODES = ['n1', 'n2', 'n3'];
const GROUPS = 4;

/** Three nodes that hold four groups, each group preferring another leader. */
class Cluster {
  readonly world: World;
  readonly nodes: readonly SimNode<TestHost>[];

  constructor(seed: number, codec = false) {
    this.world = new World({ seed });
    if (codec) (this.world.shape.network as { codec: boolean }).codec = true;
    this.nodes = NODES.map((name) => this.world.addNode<TestHost>(name, (ports) => this.makeHost(name, ports)));
    for (const node of this.nodes) node.start();
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
    for (const peer of NODES) host.setPeer(peer, `${peer}:1`);
    const groups = Array.from({ length: GROUPS }, (_, index) => {
      const founding: Founding = {
        group: `g${index}`,
        members: NODES.map((nodeId, member) => ({ replicaId: member + 1, nodeId, incarnation: `${nodeId}-disk` })),
      };
      const stateMachine = new Words(Buffer.from([1, index]));
      return host.addGroup({ founding, stateMachine, preferred: NODES[index % NODES.length] === name });
    });
    host.start();
    return { host, groups };
  }

  leaderOf(index: number): Group<number> | undefined {
    return this.nodes.map((node) => node.host?.groups[index]).find((group) => group?.status().role === 'leader');
  }

  async awaitLeaders(): Promise<void> {
    const led = await this.world.run(() =>
      Array.from({ length: GROUPS }, (_, index) => this.leaderOf(index)).every((group) => group !== undefined),
    );
    expect(led).toBe(true);
  }

  /** What a machine with an empty log is told when it wants to be a member of the first group. */
  async refusal(self: { nodeId: string; incarnation: string }, prepare?: (ports: NodePorts) => void): Promise<string> {
    const founding = this.leaderOf(0)?.founding as Founding;
    let refusal: string | undefined;
    const machine = this.world.addNode('elsewhere', async (ports) => {
      prepare?.(ports);
      const host = await ReplicaHost.open({
        identity: { clusterId: 'test', ...self },
        ports,
        store: ports.store,
        peerProtocol: peerProtocol(),
        walFolder: 'wal',
        failed: () => undefined,
      });
      try {
        host.addGroup({ founding, stateMachine: new Words(Buffer.from([1, 0])), preferred: true });
        refusal = 'none';
      } catch (error) {
        refusal = (error as Error).message;
      }
      return host;
    });
    machine.start();
    await this.world.run(() => refusal !== undefined);
    return refusal ?? 'no answer';
  }

  async settle<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    void promise.then(() => (settled = true));
    await this.world.run(() => settled);
    return promise;
  }

  /** Proposes until the word is in, at whoever leads. A repeat may put it in twice: callers count with that. */
  async write(index: number, word: string): Promise<number> {
    for (;;) {
      let outcome: Awaited<ReturnType<Group<number>['propose']>> | undefined;
      const leader = this.leaderOf(index);
      if (leader !== undefined) void leader.propose(Buffer.from(word)).then((result) => (outcome = result));
      await this.world.run(() => outcome !== undefined, 2_000_000);
      if (outcome?.kind === 'applied') return outcome.result;
    }
  }
}

describe('ReplicaHost', () => {
  it('elects the preferred leaders at founding, and applies on every node what a proposer was told', async () => {
    const cluster = new Cluster(1);
    await cluster.awaitLeaders();
    for (let index = 0; index < GROUPS; index++) {
      expect(cluster.leaderOf(index)?.status().leader).toBe(NODES[index % NODES.length]);
      expect(await cluster.write(index, 'hello')).toBe(1);
    }
    const everywhere = await cluster.world.run(() =>
      cluster.nodes.every((node) => node.host?.groups.every((group) => group.status().appliedThrough === 1)),
    );
    expect(everywhere).toBe(true);
  });

  it('speaks protobuf when the network carries bytes', async () => {
    const cluster = new Cluster(2, true);
    await cluster.awaitLeaders();
    expect(await cluster.write(0, 'bytes')).toBe(1);
  });

  it('answers a read barrier at the leader only, with everything acknowledged applied', async () => {
    const cluster = new Cluster(3);
    await cluster.awaitLeaders();
    await cluster.write(0, 'a');
    await cluster.write(0, 'b');
    const answers: Record<string, unknown> = {};
    for (const node of cluster.nodes) {
      void node.host?.groups[0]?.readBarrier().then((result) => (answers[node.name] = result));
    }
    await cluster.world.run(() => Object.keys(answers).length === NODES.length);
    expect(answers).toEqual({
      n1: { kind: 'ready', applied: 2 },
      n2: { kind: 'not-leader', leader: 'n1' },
      n3: { kind: 'not-leader', leader: 'n1' },
    });
  });

  it.each([11, 12, 13, 14, 15])(
    'moves leadership off a node that lost power, keeping every word (seed %i)',
    async (seed) => {
      const cluster = new Cluster(seed);
      await cluster.awaitLeaders();
      for (let word = 1; word <= 5; word++) await cluster.write(0, `w${word}`);
      const [first] = cluster.nodes;
      first?.kill('power');
      expect(await cluster.write(0, 'after')).toBeGreaterThanOrEqual(6);
      first?.start();
      const caughtUp = await cluster.world.run(
        () =>
          (first?.host?.groups[0]?.status().appliedThrough ?? 0) >=
          (cluster.leaderOf(0)?.status().chosenThrough ?? Infinity),
      );
      expect(caughtUp).toBe(true);
    },
  );

  it.each([16, 17, 18])(
    'hands leadership over without losing a word, faster than an election (seed %i)',
    async (seed) => {
      const cluster = new Cluster(seed, seed === 16);
      await cluster.awaitLeaders();
      await cluster.write(0, 'before');
      const group = cluster.leaderOf(0)!;
      expect(await cluster.settle(group.transferLeadership('nobody'))).toEqual({ kind: 'no-such-voter' });
      const before = cluster.world.now;
      expect(await cluster.settle(group.transferLeadership('n3'))).toEqual({ kind: 'transferred' });
      expect(await cluster.settle(group.transferLeadership('n2'))).toEqual({ kind: 'not-leader', leader: 'n3' });
      await cluster.world.run(() => cluster.leaderOf(0)?.status().leader === 'n3');
      expect(cluster.world.now - before).toBeLessThan(200_000);
      expect(await cluster.write(0, 'after')).toBe(2);
    },
  );

  it('keeps every word when all nodes lose power at once', async () => {
    const cluster = new Cluster(21);
    await cluster.awaitLeaders();
    for (let index = 0; index < GROUPS; index++)
      for (let word = 0; word < 3; word++) await cluster.write(index, `w${word}`);
    for (const node of cluster.nodes) node.kill('power');
    for (const node of cluster.nodes) node.start();
    await cluster.world.run(() => cluster.nodes.every((node) => node.host !== undefined));
    await cluster.awaitLeaders();
    for (let index = 0; index < GROUPS; index++) expect(await cluster.write(index, 'last')).toBe(4);
  });

  it('ignores a member that comes back on another disk', async () => {
    const cluster = new Cluster(31);
    await cluster.awaitLeaders();
    await cluster.write(1, 'before');
    const [, second, third] = cluster.nodes;
    second?.kill('power');
    const refusal = await cluster.refusal({ nodeId: 'n2', incarnation: 'another-disk' });
    expect(refusal).toMatch(/group g0 has no replica on node n2 with data folder another-disk/);
    expect(third?.state).toBe('running');
  });

  it('costs little when idle: under 300 events a second for three nodes, whatever they host', async () => {
    const cluster = new Cluster(41);
    await cluster.awaitLeaders();
    await cluster.world.run(cluster.world.now + 5_000_000);
    const before = cluster.world.events;
    await cluster.world.run(cluster.world.now + 10_000_000);
    expect((cluster.world.events - before) / 10).toBeLessThan(300);
  });
});

describe('a lost log', () => {
  it('is refused while the store shows that there was one', async () => {
    const cluster = new Cluster(51);
    await cluster.awaitLeaders();
    await cluster.write(0, 'word');
    const [first] = cluster.nodes;
    await cluster.world.run(() => first?.host?.groups[0]?.status().appliedThrough === 1);
    // The store of n1 with the folder of its log deleted.
    const refusal = await cluster.refusal({ nodeId: 'n1', incarnation: 'n1-disk' }, (ports) =>
      ports.store.transaction((transaction) => transaction.put(Buffer.from('\0g0'), Buffer.from([0, 0, 0, 0, 0, 1]))),
    );
    expect(refusal).toMatch(/group g0 was applied here through 1, but the write-ahead log does not know of it/);
  });
});
