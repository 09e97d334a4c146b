import { isShardCount, planPlacement } from '@synod/consistent-hashing';
import { invariant } from '@synod/invariant';
import { SynodError, type Cancel, type Clock, type Log, type Probes, type Random, type Timers } from '@synod/runtime';
import {
  clusterCodec,
  clusterKey,
  nodeCodec,
  nodesPrefix,
  placementCodec,
  placementKey,
  placementPrefix,
  prefixRange,
  type ClusterRecord,
  type NodeRegistration,
  type ShardPlacement,
} from './metadata';
import type { Compare, Coordination, CoordinationEntry, Operation } from './port';
import { PlacementView } from './placement';
import { NodeDirectory } from './registry';

export interface PlannerOptions {
  /** What the cluster shall be, if it is not founded yet. */
  readonly cluster: ClusterRecord;
  /** Storage nodes to wait for before founding. */
  readonly foundingNodes: number;
  /** Replicas per shard. With fewer nodes than that there is one, and a warning. */
  readonly replicas: number;
  /** How long to wait for more nodes once the first is there. */
  readonly graceUs: number;
}

export const PLANNER_DEFAULTS = { foundingNodes: 3, replicas: 3, graceUs: 15_000_000 } as const;

export type PlannerStatus =
  | { readonly state: 'waiting'; readonly reason: string }
  | { readonly state: 'founded' }
  /** Something that only an operator can put right; the reason says what. */
  | { readonly state: 'alarm'; readonly reason: string };

const RETRY_US = 500_000;

/**
 * Decides, once, which storage nodes found which shards: waits for nodes to register, then writes the cluster record and every
 * placement in one transaction that succeeds only if none of them was ever there. Runs on the leader of the coordination service;
 * two planners at once do no harm.
 *
 * Invariant `founding-is-written-once`: the transaction compares the creation revision of every key it writes with 0.
 * Invariant `data-is-never-founded-over`: no founding while any storage node says that it holds shards. The placement is then missing
 * by accident, and writing a new one would hand the shards of those disks to empty ones.
 */
export class Planner {
  private readonly view: PlacementView;
  private readonly directory: NodeDirectory;
  private readonly cancels: Cancel[] = [];
  private current: PlannerStatus = { state: 'waiting', reason: 'the coordination store has not been read yet' };
  private waitingSinceUs: number | undefined;
  private cancelRetry: Cancel = () => undefined;
  private busy = false;
  private stopped = false;

  constructor(
    private readonly ports: {
      readonly coordination: Coordination;
      readonly clock: Clock;
      readonly timers: Timers;
      readonly random: Random;
      readonly log: Log;
      readonly probes: Probes;
    },
    private readonly options: PlannerOptions,
  ) {
    invariant(isShardCount(options.cluster.shardCount), 'shard-count-is-a-power-of-two');
    this.view = new PlacementView(ports);
    this.directory = new NodeDirectory(ports, 'storage-shard');
  }

  get status(): PlannerStatus {
    return this.current;
  }

  start(): void {
    this.cancels.push(this.view.onChange(() => this.look()));
    this.cancels.push(this.directory.onChange(() => this.look()));
    this.look();
  }

  stop(): void {
    this.stopped = true;
    this.cancelRetry();
    for (const cancel of this.cancels) cancel();
    this.view.close();
    this.directory.close();
  }

  /** Cheap: looks at the local copies only, and asks the store itself when they call for action. */
  private look(): void {
    if (this.stopped || this.busy || !this.view.ready || !this.directory.ready) return;
    if (this.view.founded() !== undefined && this.current.state === 'founded') return;
    const nodes = this.directory.nodes();
    if (nodes.length > 0) this.waitingSinceUs ??= this.ports.clock.monotonicUs();
    this.busy = true;
    void this.decide().finally(() => (this.busy = false));
  }

  private lookLater(delayUs: number): void {
    if (this.stopped) return;
    this.cancelRetry();
    this.cancelRetry = this.ports.timers.after(delayUs, () => this.look());
  }

  private async decide(): Promise<void> {
    try {
      this.report(await this.judge());
    } catch (error) {
      if (!(error instanceof SynodError)) throw error;
      if (error.kind === 'corrupt') this.report({ state: 'alarm', reason: error.message });
      else
        this.ports.log.debug('the planner could not reach the coordination store; trying again', {
          error: error.message,
        });
    }
    if (this.current.state !== 'founded') this.lookLater(RETRY_US);
  }

  /** Reads the store itself, all at one revision, because copies lag: a placement not seen yet is not a missing one. */
  private async judge(): Promise<PlannerStatus> {
    const { ranges } = await this.ports.coordination.transaction({
      compare: [],
      success: [
        { kind: 'range', ...prefixRange(nodesPrefix('storage-shard')) },
        { kind: 'range', key: clusterKey() },
        { kind: 'range', ...prefixRange(placementPrefix()) },
      ],
      failure: [],
    });
    const [nodeEntries = [], [clusterEntry] = [], { length: placed } = []] = ranges;
    const nodes = nodeEntries.map((entry) => nodeCodec.decode(entry));
    const holding = nodes.filter((node) => (node.heldShards ?? 0) > 0);

    if (clusterEntry !== undefined) return this.checkFounded(clusterCodec.decode(clusterEntry), placed);
    if (holding.length > 0 || placed > 0) return missingPlacement(holding, placed);
    const waiting = this.stillWaiting(nodes.length);
    if (waiting !== undefined) return waiting;
    return this.found(nodeEntries, nodes);
  }

  private checkFounded(cluster: ClusterRecord, placed: number): PlannerStatus {
    const { clusterId, hash } = this.options.cluster;
    if (cluster.clusterId !== clusterId) {
      return { state: 'alarm', reason: `the store belongs to cluster ${cluster.clusterId}, this node to ${clusterId}` };
    }
    if (cluster.hash !== hash) {
      return { state: 'alarm', reason: `the cluster hashes keys by ${cluster.hash}, this version by ${hash}` };
    }
    if (placed < cluster.shardCount) {
      const reason = `${cluster.shardCount - placed} of ${cluster.shardCount} placements are missing: restore them from the shards' logs`;
      return { state: 'alarm', reason };
    }
    return { state: 'founded' };
  }

  private stillWaiting(nodeCount: number): PlannerStatus | undefined {
    const { foundingNodes, graceUs } = this.options;
    if (nodeCount >= foundingNodes) return undefined;
    const waitedUs = this.ports.clock.monotonicUs() - (this.waitingSinceUs ?? this.ports.clock.monotonicUs());
    if (nodeCount > 0 && waitedUs >= graceUs) return undefined;
    return { state: 'waiting', reason: `${nodeCount} of ${foundingNodes} storage nodes have registered` };
  }

  private async found(
    entries: readonly CoordinationEntry[],
    nodes: readonly NodeRegistration[],
  ): Promise<PlannerStatus> {
    const { cluster, replicas: wanted } = this.options;
    const replicas = nodes.length >= wanted ? wanted : 1;
    if (replicas < wanted) {
      this.ports.log.warn('too few storage nodes for replication: every shard gets a single replica', {
        nodes: nodes.length,
        wanted,
      });
      this.ports.probes.sometimes('founded-without-replication');
    }
    const placements = foundingPlacements(cluster.shardCount, replicas, nodes);
    const puts: Operation[] = [
      { kind: 'put', key: clusterKey(), value: clusterCodec.encode(cluster) },
      ...placements.map((placement): Operation => ({
        kind: 'put',
        key: placementKey(placement.shard),
        value: placementCodec.encode(placement),
      })),
    ];
    const absent = puts.map((put): Compare => ({ key: put.key, target: 'create-revision', equals: 0n }));
    // A node that restarted on another disk meanwhile is another incarnation: then nothing is written, and all is looked at again.
    const unchanged = entries.map((entry): Compare => ({
      key: entry.key,
      target: 'mod-revision',
      equals: entry.modRevision,
    }));
    const result = await this.ports.coordination.transaction({
      compare: [...absent, ...unchanged],
      success: puts,
      failure: [],
    });
    if (!result.succeeded)
      return { state: 'waiting', reason: 'nodes or placements changed while founding; looking again' };
    this.ports.log.info('the cluster is founded', {
      clusterId: cluster.clusterId,
      shards: cluster.shardCount,
      replicas,
    });
    return { state: 'founded' };
  }

  private report(status: PlannerStatus): void {
    const news = JSON.stringify(status) !== JSON.stringify(this.current);
    this.current = status;
    if (!news) return;
    if (status.state === 'alarm') {
      this.ports.probes.sometimes('planner-alarm');
      this.ports.log.error(status.reason);
    } else if (status.state === 'waiting') {
      this.ports.log.info(`founding waits: ${status.reason}`);
    }
  }
}

/** What each shard shall be founded with: the preferred leader first, replica ids from 1. */
export function foundingPlacements(
  shardCount: number,
  replicas: number,
  nodes: readonly Pick<NodeRegistration, 'nodeId' | 'incarnation' | 'zone'>[],
): ShardPlacement[] {
  const plan = planPlacement({
    shardCount,
    replicas,
    nodes: nodes.map(({ nodeId, zone }) => (zone === undefined ? { id: nodeId } : { id: nodeId, zone })),
  });
  const incarnations = new Map(nodes.map(({ nodeId, incarnation }) => [nodeId, incarnation]));
  return plan.replicas.map((holders, shard) => ({
    shard,
    version: 1,
    members: holders.map((nodeId, index) => ({
      replicaId: index + 1,
      nodeId,
      incarnation: incarnations.get(nodeId) ?? '',
    })),
  }));
}

function missingPlacement(holding: readonly NodeRegistration[], placed: number): PlannerStatus {
  const what = holding.map((node) => `${node.nodeId} holds ${node.heldShards ?? 0} shards`).join(', ');
  return {
    state: 'alarm',
    reason: `the cluster record is missing although ${placed > 0 ? `${placed} placements exist` : what}: the metadata was lost; restore it, nothing is founded anew`,
  };
}
