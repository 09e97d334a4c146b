import { SynodClient } from '@synod/client';
import {
  Planner,
  PLANNER_DEFAULTS,
  serveCoordination,
  StreamCoordination,
  type Coordination,
} from '@synod/coordination';
import { SLOT_HASH } from '@synod/consistent-hashing';
import { stateDigest, type LogLimits } from '@synod/replication';
import type { NodePorts, SimNode, World } from '@synod/simulation';
import type { StoreReader } from '@synod/runtime';
import { ConsensusNode } from '../../../apps/consensus/src/node';
import { StorageNode } from '../../../apps/storage-shard/src/node';
import { prefixOf, shardOfGroup } from '../../../apps/storage-shard/src/shard-groups';
import { CoordinatorNode } from '../../../apps/txn-coordinator/src/node';
import { ReplicaWatcher } from './replica-watcher';
import type { ClientHost } from './workload/workload';

export interface ClusterShape {
  readonly consensus: number;
  readonly storage: number;
  readonly coordinators: number;
  readonly clients: number;
  /** A power of two. */
  readonly shards: number;
  /** How much of its log each node keeps. */
  readonly logLimits: LogLimits;
}

/** Where the groups of the services keep their states. */
function prefixOfGroup(group: string): Buffer {
  const shard = shardOfGroup(group);
  return shard === undefined ? Buffer.of(1) : prefixOf(shard);
}

/** One port for everything: a simulated machine has one address. */
const PORT = 1;
/** A run of a seed is short: members compare their states often. */
const AUDIT_PERIOD_US = 2_000_000;
const addressOf = (name: string): string => `${name}:${PORT}`;
const named = (service: string, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `${service}-${index + 1}`);

/** The production hosts of consensus, storage and coordinators on simulated machines, with clients of their own. */
export class SimulatedCluster {
  readonly watcher = new ReplicaWatcher();
  readonly consensus: readonly SimNode<ConsensusNode>[];
  readonly storage: readonly SimNode<StorageNode>[];
  readonly coordinators: readonly SimNode<CoordinatorNode>[];
  readonly clients: readonly SimNode<ClientHost>[];
  private readonly consensusAddresses: readonly string[];
  /** What each machine's data folder says about its cluster: as durable as the real one's VERSION file. */
  private readonly joined = new Map<string, string>();
  private readonly stores = new Map<string, StoreReader>();

  constructor(
    readonly world: World,
    readonly shape: ClusterShape,
  ) {
    const members = named('consensus', shape.consensus);
    this.consensusAddresses = members.map(addressOf);
    this.consensus = members.map((name) => world.addNode(name, (ports) => this.startConsensus(name, ports)));
    this.storage = named('storage', shape.storage).map((name) =>
      world.addNode(name, (ports) => this.startStorage(name, ports)),
    );
    this.coordinators = named('coordinator', shape.coordinators).map((name) =>
      world.addNode(name, (ports) => this.startCoordinator(name, ports)),
    );
    this.clients = named('client', shape.clients).map((name) =>
      world.addNode(name, (ports) => this.startClient(ports), { role: 'client' }),
    );
  }

  /** Everything that may crash. */
  get servers(): readonly SimNode<unknown>[] {
    return [...this.consensus, ...this.storage, ...this.coordinators];
  }

  start(): void {
    for (const node of [...this.servers, ...this.clients]) node.start();
  }

  /** Whether the cluster is founded and every shard has a leader that serves. */
  get healthy(): boolean {
    return (
      this.consensus.some((node) => node.host?.host.isLeader === true) &&
      this.storage.every((node) => node.host !== undefined && node.host.obstacle === undefined) &&
      this.coordinators.every((node) => node.host !== undefined && node.host.obstacle() === undefined)
    );
  }

  /** The machine that leads consensus, or a shard: the most interesting victim. */
  leader(): string | undefined {
    return this.consensus.find((node) => node.host?.host.isLeader === true)?.name;
  }

  /**
   * Replicas that have applied the same log and hold different states, by name; there must be none.
   * Looked at once, at the end: a digest reads everything.
   */
  diverged(): string[] {
    const digests = new Map<string, Set<string>>();
    const groups = [
      ...this.consensus.map((node) => ({
        name: node.name,
        statuses: node.host === undefined ? [] : [node.host.host.group.status()],
      })),
      ...this.storage.map((node) => ({
        name: node.name,
        statuses: node.host?.statuses().map(({ status }) => status) ?? [],
      })),
    ];
    for (const { name, statuses } of groups) {
      const store = this.stores.get(name);
      for (const { group, appliedThrough } of statuses) {
        if (store === undefined) continue;
        const at = `${group} at ${appliedThrough}`;
        digests.set(at, (digests.get(at) ?? new Set()).add(stateDigest(store, group, prefixOfGroup(group))));
      }
    }
    return [...digests].filter(([, states]) => states.size > 1).map(([at]) => at);
  }

  private async startConsensus(name: string, ports: NodePorts): Promise<ConsensusNode> {
    this.stores.set(name, ports.store);
    let planner: Planner | undefined;
    const node = await ConsensusNode.start({
      nodeId: name,
      incarnation: `${name}-disk`,
      joined: this.joined.has(name),
      founders: this.consensus.map((founder) => ({ nodeId: founder.name, address: addressOf(founder.name) })),
      advertised: { address: addressOf(name) },
      ports,
      store: ports.store,
      peerTransport: ports.transport,
      clientTransport: ports.transport,
      failed: (error) => this.world.fail(error),
      observer: this.watcher,
      logLimits: this.shape.logLimits,
      maintenance: { auditPeriodUs: AUDIT_PERIOD_US },
      onLeadership: (leads, coordination) => {
        planner?.stop();
        planner = leads ? this.plan(ports, coordination) : undefined;
      },
    });
    this.joined.set(name, node.founding.clusterId);
    serveCoordination(ports, node.coordination);
    return node;
  }

  private plan(ports: NodePorts, coordination: Coordination): Planner {
    const planner = new Planner(
      { ...ports, coordination },
      {
        ...PLANNER_DEFAULTS,
        cluster: { clusterId: 'simulated', shardCount: this.shape.shards, hash: SLOT_HASH },
        foundingNodes: this.shape.storage,
      },
    );
    planner.start();
    return planner;
  }

  private async startStorage(name: string, ports: NodePorts): Promise<StorageNode> {
    this.stores.set(name, ports.store);
    const node = new StorageNode({
      nodeId: name,
      incarnation: `${name}-disk`,
      clusterId: this.joined.get(name),
      join: (clusterId) => Promise.resolve(void this.joined.set(name, clusterId)),
      advertised: { address: addressOf(name), peerAddress: addressOf(name) },
      ports,
      store: ports.store,
      peerTransport: ports.transport,
      clientTransport: ports.transport,
      coordination: new StreamCoordination(ports, this.consensusAddresses),
      consensus: this.consensusAddresses,
      failed: (error) => this.world.fail(error),
      observer: this.watcher,
      logLimits: this.shape.logLimits,
    });
    await node.start();
    return node;
  }

  private startCoordinator(name: string, ports: NodePorts): CoordinatorNode {
    const node = new CoordinatorNode({
      identity: { nodeId: name, incarnation: `${name}-disk`, address: addressOf(name) },
      ports: { ...ports, coordination: new StreamCoordination(ports, this.consensusAddresses) },
      oracle: this.consensusAddresses,
      fault: (error) => this.world.fail(error),
    });
    node.start();
    return node;
  }

  private startClient(ports: NodePorts): ClientHost {
    const coordination = new StreamCoordination(ports, this.consensusAddresses);
    const client = new SynodClient(coordination, () => this.consensusAddresses, ports);
    return { client, coordination, timestamps: client.timestamps, random: ports.random, timers: ports.timers };
  }
}
