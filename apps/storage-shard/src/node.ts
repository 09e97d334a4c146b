import { Routing, ShardRouter, SnapshotReader, TimestampClient } from '@synod/client';
import { Registration, type Coordination, type FoundedCluster, type ShardPlacement } from '@synod/coordination';
import {
  serveRequests,
  storageProtocol,
  type ShardId,
  type StorageRequest,
  type StorageResponse,
} from '@synod/protocols';
import {
  DEFAULT_LOG_LIMITS,
  lostLog,
  peerProtocol,
  ReplicaHost,
  type Founding,
  type GroupStatus,
  type LogLimits,
  type NodeId,
  type ReplicationObserver,
  type ReplicationTimes,
} from '@synod/replication';
import {
  SynodError,
  type Cancel,
  type Clock,
  type Disk,
  type Log,
  type Probes,
  type Random,
  type Store,
  type Timers,
  type Transport,
} from '@synod/runtime';
import type { ShardHostOptions } from './host/options';
import { ShardHost } from './host/shard-host';
import { LocalFirstRouter } from './local-first-router';
import { checkPlaced, foundingOf, prefixOf, shardOfGroup } from './shard-groups';

/** A node hosts dozens of replicas: each keeps little of its log for members that lag, and a shard is soon sent. */
const LOG_LIMITS: LogLimits = { ...DEFAULT_LOG_LIMITS, tailInstances: 1_000, tailBytes: 2 << 20 };
/** Requests being answered at once, over all streams and shards. */
const REQUESTS_INFLIGHT_MAX = 8_192;
/** Between looks for transactions that nobody finishes. */
const SWEEP_US = 500_000;
/** How long a stopping node tries to take itself off the list of nodes; its lease does it otherwise. */
const FAREWELL_US = 1_000_000;

export interface StorageNodeOptions {
  readonly nodeId: NodeId;
  /** The random name that this data folder drew when it was empty. */
  readonly incarnation: string;
  /** The cluster that this data folder has met; undefined for a new one. */
  readonly clusterId: string | undefined;
  /** Remembers the cluster in the data folder, durably, once the log holds every shard that was founded here. */
  readonly join: (clusterId: string) => Promise<void>;
  /** What others are told of this node. */
  readonly advertised: { readonly address: string; readonly peerAddress: string; readonly httpAddress?: string };
  readonly ports: {
    readonly clock: Clock;
    readonly timers: Timers;
    readonly random: Random;
    readonly disk: Disk;
    readonly log: Log;
    readonly probes: Probes;
  };
  readonly store: Store;
  /** Between the members of shards. */
  readonly peerTransport: Transport;
  /** Between them too, for snapshots: with connections of its own. `peerTransport` if absent. */
  readonly bulkTransport?: Transport;
  /** Where clients, coordinators and other shards come in and are reached; in simulation the same as `peerTransport`. */
  readonly clientTransport: Transport;
  readonly coordination: Coordination;
  /** Addresses of the coordination service's members, which serve timestamps, for as long as they are not known otherwise. */
  readonly consensus: readonly string[];
  /** Called once if the log or the store fails: the process must end. */
  readonly failed: (error: unknown) => void;
  readonly times?: ReplicationTimes;
  readonly logLimits?: LogLimits;
  readonly observer?: ReplicationObserver;
  readonly shardOptions?: Partial<ShardHostOptions>;
}

/**
 * A storage node: hosts the replicas of the shards that are placed on it, and serves those that it leads. Takes requests as soon as it is
 * made. Written against ports alone, so that the simulation runs it unchanged.
 */
export class StorageNode {
  readonly routing: Routing;
  readonly timestamps: TimestampClient;
  readonly router: ShardRouter;
  readonly reader: SnapshotReader;
  private readonly registration: Registration;
  private readonly hosts = new Map<ShardId, ShardHost>();
  private readonly local: LocalFirstRouter;
  private replicas: ReplicaHost | undefined;
  private cancels: Cancel[] = [];
  private hosting = false;
  private stopped = false;

  constructor(private readonly options: StorageNodeOptions) {
    const { nodeId, incarnation, advertised, coordination } = options;
    const ports = { ...options.ports, transport: options.clientTransport };
    this.routing = new Routing({ ...ports, coordination });
    this.timestamps = new TimestampClient(ports, () => this.oracleAddresses());
    this.router = new ShardRouter(ports, this.routing);
    this.reader = new SnapshotReader(this.routing, this.router);
    this.local = new LocalFirstRouter(this.hosts, this.router);
    const self = { service: 'storage-shard', nodeId, incarnation, ...advertised } as const;
    this.registration = new Registration({ ...ports, coordination }, self);
    serveRequests(options.clientTransport, storageProtocol(), (request) => this.handle(request), {
      inflightMax: REQUESTS_INFLIGHT_MAX,
      failed: (error) => ports.log.error('a storage request failed', { error: String(error) }),
    });
  }

  /**
   * Resolves once the shards are there. A node that has met its cluster resumes what its log holds; a blank one offers itself, and waits
   * until the planner has placed shards on it.
   * @throws {SynodError} `failed-precondition` if this data folder must not take part; `corrupt`
   */
  async start(): Promise<void> {
    const { clusterId } = this.options;
    // What the log holds is said before anything is founded anew: it forbids that.
    if (clusterId !== undefined) this.replicas = await this.openReplicas(clusterId);
    this.registration.update({ heldShards: this.heldFoundings().size });
    this.registration.start();
    const founded = await this.meetCluster();
    this.replicas ??= await this.openReplicas(founded.cluster.clusterId);
    if (this.stopped) return this.replicas.stop();
    this.host(founded);
    await this.replicas.synced();
    await this.options.join(founded.cluster.clusterId);
    this.replicas.start();
    this.hosting = true;
    this.followPeers(this.replicas);
    this.registration.update({ heldShards: this.hosts.size });
    this.sweepAfter(SWEEP_US);
  }

  get nodeId(): NodeId {
    return this.options.nodeId;
  }

  /** Why this node cannot do its work now, or undefined if it can. */
  get obstacle(): string | undefined {
    if (!this.hosting) return 'waiting to learn which shards are placed here';
    const leaderless = this.statuses().filter(({ status }) => status.leader === undefined);
    return leaderless.length === 0 ? undefined : `${leaderless.length} of ${this.hosts.size} shards have no leader`;
  }

  /** The replicas that this node holds, by shard. */
  statuses(): { readonly shard: ShardId; readonly status: GroupStatus; readonly inDoubtCount: number }[] {
    return (this.replicas?.statuses() ?? []).flatMap((status) => {
      const shard = shardOfGroup(status.group);
      const host = shard === undefined ? undefined : this.hosts.get(shard);
      return shard === undefined || host === undefined ? [] : [{ shard, status, inDoubtCount: host.inDoubtCount }];
    });
  }

  /** Stops speaking for the cluster, then hearing, then closes the log. The store stays open: it belongs to the caller. */
  async stop(): Promise<void> {
    this.stopped = true;
    for (const cancel of this.cancels) cancel();
    const gaveUp = new Promise<void>((resolve) => this.options.ports.timers.after(FAREWELL_US, resolve));
    await Promise.race([this.registration.stop(), gaveUp]);
    this.timestamps.close();
    this.router.close();
    this.routing.close();
    await this.replicas?.stop();
  }

  /** @throws {SynodError} as the shard's leader answers; `not-leader` if this node does not hold the shard */
  async handle(request: StorageRequest): Promise<StorageResponse> {
    const host = this.hosts.get(request.shard);
    if (host !== undefined) return host.handle(request);
    const { cluster } = this.routing;
    if (cluster !== undefined && request.shard >= cluster.shardCount) {
      throw new SynodError(
        'invalid-argument',
        `shard ${request.shard} does not exist: there are ${cluster.shardCount}`,
      );
    }
    const hint = this.routing
      .shard(request.shard)
      .candidates()
      .find((address) => address !== this.options.advertised.address);
    const message = `shard ${request.shard} is not held by ${this.nodeId}`;
    throw new SynodError('not-leader', message, hint === undefined ? {} : { hint });
  }

  private openReplicas(clusterId: string): Promise<ReplicaHost> {
    const { nodeId, incarnation, advertised, ports, store, peerTransport, failed, times, observer } = this.options;
    const { bulkTransport = peerTransport, logLimits = LOG_LIMITS } = this.options;
    return ReplicaHost.open({
      identity: { clusterId, nodeId, incarnation, address: advertised.peerAddress },
      ports: { ...ports, transport: peerTransport, bulkTransport },
      store,
      logLimits,
      peerProtocol: peerProtocol(),
      walFolder: 'wal',
      failed,
      ...(times === undefined ? {} : { times }),
      ...(observer === undefined ? {} : { observer }),
    });
  }

  /** Waits for the founding, and makes sure that it is this data folder's cluster. */
  private async meetCluster(): Promise<FoundedCluster> {
    const cluster = await this.routing.ready();
    const { clusterId, nodeId } = this.options;
    if (clusterId !== undefined && clusterId !== cluster.clusterId) {
      throw new SynodError(
        'failed-precondition',
        `the data folder of ${nodeId} belongs to cluster ${clusterId}, the coordination service to ${cluster.clusterId}: use the folder's own`,
      );
    }
    const placements = Array.from({ length: cluster.shardCount }, (_, shard) => this.routing.placementOf(shard)).filter(
      (placement): placement is ShardPlacement => placement !== undefined,
    );
    for (const placement of placements) checkPlaced(placement, this.options);
    return { cluster, placements };
  }

  /** Starts the replicas of this node: those that the log holds as the log says, the others as they are placed. */
  private host({ placements }: FoundedCluster): void {
    const held = this.heldFoundings();
    const placed = placements.some(({ members }) => members.some(({ nodeId }) => nodeId === this.nodeId));
    // A folder that has joined its cluster has founded its shards before: it never founds them again.
    if (this.options.clusterId !== undefined && placed && held.size === 0)
      throw lostLog(`${this.nodeId} has held shards`);
    for (const [shard, founding] of held) {
      this.addShard(shard, founding, placements[shard]?.members[0]?.nodeId === this.nodeId);
    }
    for (const placement of placements) {
      if (held.has(placement.shard) || !placement.members.some(({ nodeId }) => nodeId === this.nodeId)) continue;
      this.addShard(placement.shard, foundingOf(placement), placement.members[0]?.nodeId === this.nodeId);
    }
  }

  private addShard(shard: ShardId, founding: Founding, preferred: boolean): void {
    const { store, ports, shardOptions } = this.options;
    const host = new ShardHost({
      shard,
      prefix: prefixOf(shard),
      store,
      ports,
      timestamps: this.timestamps,
      router: this.local,
      owns: (key) => this.routing.shardOf(key) === shard,
      addressOf: (node) => this.routing.find('storage-shard', node)?.address,
      ...(shardOptions === undefined ? {} : { options: shardOptions }),
    });
    const group = this.opened().addGroup({
      founding,
      stateMachine: host.stateMachine,
      prefix: prefixOf(shard),
      preferred,
      leadershipChanged: (leads) => host.leadershipChanged(leads),
    });
    host.attach(group);
    this.hosts.set(shard, host);
  }

  private opened(): ReplicaHost {
    if (this.replicas === undefined) throw new Error('the log is not open yet');
    return this.replicas;
  }

  private heldFoundings(): Map<ShardId, Founding> {
    const held = new Map<ShardId, Founding>();
    for (const founding of this.replicas?.heldGroups() ?? []) {
      const shard = shardOfGroup(founding.group);
      if (shard !== undefined) held.set(shard, founding);
    }
    return held;
  }

  /** Keeps up where the other members are. */
  private followPeers(replicas: ReplicaHost): void {
    const follow = (): void => {
      for (const { nodeId, peerAddress } of this.routing.nodes('storage-shard')) {
        if (nodeId !== this.nodeId && peerAddress !== undefined) replicas.setPeer(nodeId, peerAddress);
      }
    };
    follow();
    this.cancels.push(this.routing.onChange(follow));
  }

  private sweepAfter(delayUs: number): void {
    if (this.stopped) return;
    const cancel = this.options.ports.timers.after(delayUs, () => {
      this.cancels = this.cancels.filter((other) => other !== cancel);
      for (const host of this.hosts.values()) host.sweep();
      this.sweepAfter(SWEEP_US);
    });
    this.cancels.push(cancel);
  }

  private oracleAddresses(): readonly string[] {
    const known = this.routing.nodes('consensus').map(({ address }) => address);
    return known.length > 0 ? known : this.options.consensus;
  }
}
