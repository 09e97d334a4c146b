import type { Cancel, Log, Random, Timers } from '@synod/runtime';
import {
  clusterCodec,
  clusterKey,
  placementCodec,
  placementKey,
  placementPrefix,
  prefixRange,
  type ClusterRecord,
  type ShardPlacement,
} from './metadata';
import type { Coordination } from './port';
import { RangeMirror } from './range-mirror';

/** A founded cluster: its record and one placement for each shard, by shard. */
export interface FoundedCluster {
  readonly cluster: ClusterRecord;
  readonly placements: readonly ShardPlacement[];
}

/**
 * The wanted placement, as a copy that follows the coordination store. A hint: who the members of a shard are is said by the shard's
 * own log, and who leads it by its members.
 */
export class PlacementView {
  private readonly clusterMirror: RangeMirror;
  private readonly placementMirror: RangeMirror;

  constructor(ports: {
    readonly coordination: Coordination;
    readonly timers: Timers;
    readonly random: Random;
    readonly log: Log;
  }) {
    this.clusterMirror = new RangeMirror(ports, { key: clusterKey() });
    this.placementMirror = new RangeMirror(ports, prefixRange(placementPrefix()));
  }

  /** True once both copies have been read for the first time. */
  get ready(): boolean {
    return this.clusterMirror.ready && this.placementMirror.ready;
  }

  /**
   * Undefined before founding.
   * @throws {SynodError} `corrupt`
   */
  get cluster(): ClusterRecord | undefined {
    const entry = this.clusterMirror.get(clusterKey());
    return entry === undefined ? undefined : clusterCodec.decode(entry);
  }

  /**
   * Undefined before founding.
   * @throws {SynodError} `corrupt`
   */
  placementOf(shard: number): ShardPlacement | undefined {
    const entry = this.placementMirror.get(placementKey(shard));
    return entry === undefined ? undefined : placementCodec.decode(entry);
  }

  /** Undefined while the cluster record or any shard's placement is missing. */
  founded(): FoundedCluster | undefined {
    const cluster = this.ready ? this.cluster : undefined;
    if (cluster === undefined) return undefined;
    const placements: ShardPlacement[] = [];
    for (let shard = 0; shard < cluster.shardCount; shard++) {
      const placement = this.placementOf(shard);
      if (placement === undefined) return undefined;
      placements.push(placement);
    }
    return { cluster, placements };
  }

  /** Resolves once the cluster is founded and everything about it is known here. */
  async whenFounded(): Promise<FoundedCluster> {
    // The copies arrive in either order: each waits for itself, then the pair is looked at.
    const cluster = await this.clusterMirror.waitFor(() => this.cluster);
    await this.placementMirror.waitFor(() => this.placementOf(cluster.shardCount - 1));
    return this.placementMirror.waitFor(() => this.founded());
  }

  onChange(listener: () => void): Cancel {
    const cancels = [this.clusterMirror.onChange(listener), this.placementMirror.onChange(listener)];
    return () => cancels.forEach((cancel) => cancel());
  }

  close(): void {
    this.clusterMirror.close();
    this.placementMirror.close();
  }
}
