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
import type { World, NodePorts, SimNode } from '@synod/simulation';
import { StorageNode, type StorageNodeOptions } from '../node';

/** Three storage nodes, an oracle and a client in a simulated world; the coordination store is in memory, shared and never fails. */
export class StorageCluster {
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
