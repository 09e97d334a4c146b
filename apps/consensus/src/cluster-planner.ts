import { SLOT_HASH } from '@synod/consistent-hashing';
import { Planner, PLANNER_DEFAULTS, type Coordination } from '@synod/coordination';
import type { Clock, Log, Probes, Random, Timers } from '@synod/runtime';

interface PlannerPorts {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  readonly probes: Probes;
}

export interface ClusterShape {
  readonly clusterId: string;
  readonly shards: number;
  readonly foundingStorageNodes: number;
}

/** Runs the planner while this member leads: it places the shards once, when the storage nodes are there. */
export class ClusterPlanner {
  private planner: Planner | undefined;

  constructor(private readonly ports: PlannerPorts) {}

  lead(coordination: Coordination, shape: ClusterShape): void {
    this.resign();
    const cluster = { clusterId: shape.clusterId, shardCount: shape.shards, hash: SLOT_HASH };
    const options = { ...PLANNER_DEFAULTS, cluster, foundingNodes: shape.foundingStorageNodes };
    this.planner = new Planner({ ...this.ports, coordination }, options);
    this.planner.start();
  }

  resign(): void {
    this.planner?.stop();
    this.planner = undefined;
  }
}
