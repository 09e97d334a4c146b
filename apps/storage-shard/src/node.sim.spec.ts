import { Routing, ShardRouter, TimestampClient } from '@synod/client';
import { SLOT_HASH } from '@synod/consistent-hashing';
import { MemoryCoordination, Planner, type Coordination } from '@synod/coordination';
import {
  oracleProtocol,
  serveRequests,
  type ShardId,
  type StorageRequest,
  type StorageResponse,
} from '@synod/protocols';
import { World, type NodePorts, type SimNode } from '@synod/simulation';
import { StorageNode, type StorageNodeOptions } from './node';
import { committed, decideOf, handleOf, onePhaseOf, prepareOf, readOf } from './testing/requests';

/** Three storage nodes, an oracle and a client in a simulated world; the coordination store is in memory, shared and never fails. */
class StorageCluster {
  readonly coordination = new MemoryCoordination();
  readonly nodes: readonly SimNode<StorageNode>[];
  /** The cluster that each data folder has met; outlives its node. */
  readonly joined = new Map<string, string>();
  /** What kept a node from starting. */
  readonly refusals = new Map<string, string>();
  private readonly client: SimNode<{ routing: Routing; router: ShardRouter; timestamps: TimestampClient }>;

  constructor(
    readonly world: World,
    readonly shardCount: number,
    incarnationOf: (node: string) => string = (node) => `${node}-disk`,
  ) {
    const nodes = ['s1', 's2', 's3'];
    this.nodes = nodes.map((name) =>
      world.addNode<StorageNode>(name, (ports) => this.makeStorage(name, ports, incarnationOf(name))),
    );
    const oracle = world.addNode('n1', (ports) => serveTimestamps(ports));
    const planner = world.addNode('planner', (ports) => this.makePlanner(ports));
    this.client = world.addNode('client', (ports) => this.makeClient(ports), { role: 'client' });
    for (const node of [oracle, planner, this.client, ...this.nodes]) node.start();
  }

  /** Runs the world until every node that runs can do its work. */
  async ready(): Promise<void> {
    const running = (): SimNode<StorageNode>[] => this.nodes.filter((node) => node.state === 'running');
    const done = await this.world.run(() =>
      running().every((node) => node.host !== undefined && node.host.obstacle === undefined),
    );
    expect(done).toBe(true);
  }

  /** What a promise of the client ends with, once the world has turned far enough. */
  async ask(request: StorageRequest): Promise<StorageResponse> {
    const { router } = this.client.host as { router: ShardRouter };
    let settled: { value: StorageResponse } | { error: unknown } | undefined;
    router.request(request.shard, request).then(
      (value) => (settled = { value }),
      (error: unknown) => (settled = { error }),
    );
    await this.world.run(() => settled !== undefined);
    if (settled === undefined) throw new Error('no answer');
    if ('error' in settled) throw settled.error;
    return settled.value;
  }

  async now(): Promise<bigint> {
    const { timestamps } = this.client.host as { timestamps: TimestampClient };
    let ts: bigint | undefined;
    void timestamps.next().then((next) => (ts = next));
    await this.world.run(() => ts !== undefined);
    return ts as bigint;
  }

  /** A key of a shard. */
  keyOf(shard: ShardId, salt = ''): string {
    const { routing } = this.client.host as { routing: Routing };
    for (let n = 0; ; n++) if (routing.shardOf(Buffer.from(`${salt}${n}`)) === shard) return `${salt}${n}`;
  }

  leaderOf(shard: ShardId): SimNode<StorageNode> | undefined {
    return this.nodes.find((node) =>
      node.host?.statuses().some((each) => each.shard === shard && each.status.role === 'leader'),
    );
  }

  inDoubt(): number {
    const counts = this.nodes.flatMap((node) => node.host?.statuses() ?? []);
    return counts.reduce((sum, { inDoubtCount }) => sum + inDoubtCount, 0);
  }

  private async makeStorage(name: string, ports: NodePorts, incarnation: string): Promise<StorageNode> {
    const options: StorageNodeOptions = {
      nodeId: name,
      incarnation,
      clusterId: this.joined.get(name),
      join: (clusterId) => {
        this.joined.set(name, clusterId);
        return Promise.resolve();
      },
      advertised: { address: `${name}:2500`, peerAddress: `${name}:2600` },
      ports,
      store: ports.store,
      peerTransport: ports.transport,
      clientTransport: ports.transport,
      coordination: this.coordination,
      consensus: ['n1:2379'],
      failed: (error) => this.world.fail(error),
    };
    const node = new StorageNode(options);
    void node.start().catch((error: unknown) => this.refusals.set(name, (error as Error).message));
    return Promise.resolve(node);
  }

  private makePlanner(ports: NodePorts): Planner {
    const coordination: Coordination = this.coordination;
    const cluster = { clusterId: 'c1', shardCount: this.shardCount, hash: SLOT_HASH };
    const planner = new Planner(
      { ...ports, coordination },
      { cluster, foundingNodes: 3, replicas: 3, graceUs: 60_000_000 },
    );
    planner.start();
    return planner;
  }

  private makeClient(ports: NodePorts) {
    const routing = new Routing({ ...ports, coordination: this.coordination });
    const router = new ShardRouter(ports, routing);
    return { routing, router, timestamps: new TimestampClient(ports, () => ['n1:2379']) };
  }
}

function serveTimestamps(ports: NodePorts): { readonly issued: () => bigint } {
  let last = 0n;
  serveRequests(
    ports.transport,
    oracleProtocol(),
    ({ count }) => {
      const first = last + 1n;
      last += BigInt(count);
      return Promise.resolve({ kind: 'timestamps', first, count });
    },
    { inflightMax: 1_000 },
  );
  return { issued: () => last };
}

const SHARDS = 8;

async function founded(seed: number): Promise<StorageCluster> {
  const cluster = new StorageCluster(new World({ seed }), SHARDS);
  await cluster.ready();
  return cluster;
}

async function valueOf(cluster: StorageCluster, shard: number, key: string): Promise<string | undefined> {
  const answer = await cluster.ask(readOf(shard, [key], await cluster.now()));
  return answer.kind === 'read' ? answer.values[0]?.value?.toString() : answer.kind;
}

describe('storage nodes', () => {
  it('found the shards that are placed on them, led by the preferred members, and serve them', async () => {
    const cluster = await founded(1);
    expect([...cluster.joined.values()]).toEqual(['c1', 'c1', 'c1']);
    for (const node of cluster.nodes) expect(node.host?.statuses()).toHaveLength(SHARDS);
    const leaders = Array.from({ length: SHARDS }, (_, shard) => cluster.leaderOf(shard)?.name);
    expect(new Set(leaders).size).toBe(3);
    for (const shard of [0, 3, 7]) {
      const key = cluster.keyOf(shard);
      const answer = await cluster.ask(onePhaseOf(shard, { txn: `t${shard}`, writes: { [key]: 'x' } }));
      expect(answer).toMatchObject({ kind: 'record', record: { state: 'committed' } });
      expect(await valueOf(cluster, shard, key)).toBe('x');
    }
  });

  it.each([2, 3, 4])(
    'keep what was acknowledged when a leader loses power, and take it back afterwards (seed %i)',
    async (seed) => {
      const cluster = await founded(seed);
      const key = cluster.keyOf(0);
      await cluster.ask(onePhaseOf(0, { txn: 't', writes: { [key]: 'before' } }));
      const leader = cluster.leaderOf(0);
      leader?.kill('power');
      expect(await valueOf(cluster, 0, key)).toBe('before');
      await cluster.ask(onePhaseOf(0, { txn: 'u', writes: { [key]: 'during' } }));
      leader?.start();
      await cluster.ready();
      expect(leader?.host?.statuses()).toHaveLength(SHARDS);
      cluster.nodes.filter((node) => node !== leader)[0]?.kill('power');
      expect(await valueOf(cluster, 0, key)).toBe('during');
    },
  );

  it('resume from their logs when all lose power at once', async () => {
    const cluster = await founded(5);
    const key = cluster.keyOf(2);
    await cluster.ask(onePhaseOf(2, { txn: 't', writes: { [key]: 'kept' } }));
    for (const node of cluster.nodes) node.kill('power');
    for (const node of cluster.nodes) node.start();
    await cluster.ready();
    // Until then the client may speak to machines that no longer hear it.
    await cluster.world.run(cluster.world.now + cluster.world.shape.network.silenceMaxUs);
    expect(await valueOf(cluster, 2, key)).toBe('kept');
  });

  it('leave nothing in doubt within 10 s after their coordinator and a leader died', async () => {
    const cluster = await founded(6);
    const [a, b] = [cluster.keyOf(1), cluster.keyOf(2)];
    const orphan = { txn: 'orphan', anchor: 1 };
    await cluster.ask(prepareOf(1, { ...orphan, writes: { [a]: 'lost' } }));
    await cluster.ask(prepareOf(2, { ...orphan, writes: { [b]: 'lost' } }));
    const decided = { txn: 'decided', anchor: 3 };
    const c = cluster.keyOf(4);
    await cluster.ask(prepareOf(4, { ...decided, writes: { [c]: 'kept' } }));
    await cluster.ask(decideOf(handleOf('decided', 3), committed(await cluster.now())));
    expect(cluster.inDoubt()).toBe(3);
    const leader = cluster.leaderOf(2);
    leader?.kill('power');
    leader?.start();
    await cluster.ready();
    const healedUs = cluster.world.now;
    expect(await cluster.world.run(() => cluster.inDoubt() === 0)).toBe(true);
    expect(cluster.world.now - healedUs).toBeLessThan(10_000_000);
    expect(await valueOf(cluster, 2, b)).toBeUndefined();
    expect(await valueOf(cluster, 4, c)).toBe('kept');
  });

  it('refuse to vote from another disk than the one they were founded with', async () => {
    const cluster = await founded(7);
    const [node] = cluster.nodes;
    node?.kill('power');
    const stranger = new StorageCluster(new World({ seed: 7 }), SHARDS, (name) =>
      name === 's1' ? 'blank' : `${name}-disk`,
    );
    Object.assign(stranger, { coordination: cluster.coordination });
    await stranger.world.run(() => stranger.refusals.size > 0);
    expect(stranger.refusals.get('s1')).toMatch(
      /shard \d+ was founded on s1 with data folder s1-disk, this one is blank: restore/,
    );
    expect(stranger.joined.has('s1')).toBe(false);
  });

  it('refuse a data folder of another cluster', async () => {
    const cluster = new StorageCluster(new World({ seed: 8 }), SHARDS);
    cluster.joined.set('s2', 'c0');
    await cluster.world.run(() => cluster.refusals.size > 0);
    expect(cluster.refusals.get('s2')).toContain(
      'the data folder of s2 belongs to cluster c0, the coordination service to c1',
    );
  });

  it('send whoever asks the wrong node on', async () => {
    const cluster = await founded(9);
    const leader = cluster.leaderOf(0);
    const other = cluster.nodes.find((node) => node !== leader);
    let refusal: unknown;
    void other?.host?.handle(readOf(0, [cluster.keyOf(0)], 5n)).catch((error: unknown) => (refusal = error));
    await cluster.world.run(() => refusal !== undefined);
    expect(refusal).toMatchObject({ kind: 'not-leader', details: { hint: `${leader?.name}:2500` } });
  });
});
