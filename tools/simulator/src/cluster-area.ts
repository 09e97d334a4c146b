import { simulateJob } from '@synod/mapreduce';
import { drawFaultPlan, Draws, Nemesis, World } from '@synod/simulation';
import { Broken } from './broken';
import { withGroupCuts } from './group-cuts';
import { drawLogLimits } from './log-limits';
import type { SeedFault, SeedResult } from './seed-result';
import { runSeed, SeedRun, type SeedOptions } from './seed-run';
import { checkStates } from './state-check';
import { SimulatedCluster, type ClusterShape } from './simulated-cluster';
import { Bank } from './workload/bank';
import { CoordinationRegisters } from './workload/coordination-registers';
import { KeyValueRegisters } from './workload/key-value-registers';
import { ListAppend } from './workload/list-append';
import { Timestamps } from './workload/timestamps';
import type { ClientHost, Tally } from './workload/workload';

const SECOND_US = 1_000_000;
/** Faults and clients go on for so long. */
const WORK_US = 15 * SECOND_US;
/** A healed cluster is well within so long. */
const HEAL_US = 30 * SECOND_US;
/** A seed that does less proves nothing. */
const ACKNOWLEDGED_MIN = 300;
/** Between two operations of a client, at most. */
const THINK_US_MAX = 700_000;
/** What survives loss, repetition and reordering of single messages. */
export const DATAGRAM_PROTOCOLS = ['/synod.peer.v1.Peer/Exchange'];

/**
 * Runs one seed of the whole cluster: founds it, lets clients work while faults strike, heals everything, waits until all is well,
 * reads once more, and asks the checkers. Never rejects.
 */
export function runClusterSeed(options: SeedOptions): Promise<SeedResult> {
  return runSeed(() => new ClusterArea(options));
}

class ClusterArea {
  private readonly world: World;
  private readonly cluster: SimulatedCluster;
  private readonly nemesis: Nemesis;
  private readonly run: SeedRun<ClientHost>;
  private readonly jobStates = new Map<string, number>();

  constructor(private readonly options: SeedOptions) {
    const { seed } = options;
    const shape = drawShape(seed);
    const servers = serversOf(shape);
    const clients = Array.from({ length: shape.clients }, (_, index) => `client-${index + 1}`);
    const drawn = drawFaultPlan(seed, {
      servers,
      clients,
      horizonUs: WORK_US,
      datagramProtocols: DATAGRAM_PROTOCOLS,
    });
    const services = ['consensus', 'storage'].map((service) => servers.filter((name) => name.startsWith(service)));
    const plan = drawn.kinds.length === 0 ? drawn : withGroupCuts(drawn, services, WORK_US);
    this.world = new World({
      seed,
      shape: plan.shape,
      ...(options.onTraceLine === undefined ? {} : { onTraceLine: options.onTraceLine }),
    });
    this.cluster = new SimulatedCluster(this.world, shape);
    this.nemesis = new Nemesis(this.world, plan, { leader: () => this.cluster.leader() });
    const tally: Tally = { acknowledged: 0, unknown: 0, failed: 0 };
    const context = { world: this.world, tally };
    this.run = new SeedRun({
      world: this.world,
      nemesis: this.nemesis,
      tally,
      workloads: [
        new CoordinationRegisters(context),
        new KeyValueRegisters(context),
        new ListAppend(context),
        new Bank(context),
        new Timestamps(context),
      ],
      thinkUsMax: THINK_US_MAX,
      patienceUs: HEAL_US,
      acknowledgedMin: ACKNOWLEDGED_MIN,
      excuse: () => this.checkStates(),
    });
  }

  async go(): Promise<void> {
    const { run, cluster } = this;
    this.runJob();
    cluster.start();
    await run.until('cluster-founded', () => cluster.healthy);
    const [first] = cluster.clients;
    await run.prepare(first?.host);
    this.nemesis.start();
    run.startClients(cluster.clients.map(({ host }) => host));
    await this.world.run(this.world.now + WORK_US);
    this.nemesis.heal();
    await run.endClients();
    await run.until('cluster-heals', () => cluster.healthy);
    await run.until('no-orphan-intents', () => this.inDoubt() === 0);
    await run.finish(first?.host);
    await run.until('replicas-catch-up', () => this.lagging() === 0);
    this.checkStates();
    run.checkHistories();
    this.checkReplicas();
    run.checkFloor();
  }

  result(fault: SeedFault | undefined, cpuSeconds: number): SeedResult {
    return this.run.result(fault, {
      cpuSeconds,
      leaderChanges: this.cluster.watcher.leaderChanges,
      states: Object.fromEntries([...this.world.probes.counts(), ...this.jobStates]),
    });
  }

  /** A MapReduce job on virtual time of its own, from the same seed: its scheduler is part of what a seed tests. */
  private runJob(): void {
    for (const [state, count] of simulateJob(this.options.seed).reached) this.jobStates.set(state, count);
  }

  private inDoubt(): number {
    return this.cluster.storage
      .flatMap((node) => node.host?.statuses() ?? [])
      .reduce((sum, { inDoubtCount }) => sum + inDoubtCount, 0);
  }

  /** Replicas that have not applied what their leader has. */
  private lagging(): number {
    const most = new Map<string, number>();
    const statuses = this.cluster.storage.flatMap((node) => node.host?.statuses().map(({ status }) => status) ?? []);
    for (const { group, appliedThrough } of statuses) {
      most.set(group, Math.max(most.get(group) ?? 0, appliedThrough));
    }
    return statuses.filter(({ group, appliedThrough }) => appliedThrough < (most.get(group) ?? 0)).length;
  }

  /** The consensus members compare their states all the while, whole stores and not only what was applied. */
  private checkStates(): void {
    checkStates(this.cluster.consensus.flatMap((node) => node.host?.host ?? []));
  }

  private checkReplicas(): void {
    const diverged = this.cluster.diverged();
    if (diverged.length > 0) throw new Broken('invariant', 'replicas-agree', diverged.join(', '));
  }
}

/** How large the cluster of a seed is. */
function drawShape(seed: number): ClusterShape {
  const draws = new Draws(seed, 'plan', 'cluster');
  return {
    consensus: draws.pick([3, 3, 3, 5]),
    storage: draws.pick([3, 3, 4]),
    coordinators: 2,
    clients: 4,
    shards: draws.pick([4, 4, 8]),
    logLimits: drawLogLimits(seed),
  };
}

function serversOf({ consensus, storage, coordinators }: ClusterShape): string[] {
  const named = (service: string, count: number): string[] =>
    Array.from({ length: count }, (_, index) => `${service}-${index + 1}`);
  return [...named('consensus', consensus), ...named('storage', storage), ...named('coordinator', coordinators)];
}
