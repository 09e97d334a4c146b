import { InvariantViolation } from '@synod/invariant';
import { simulateJob } from '@synod/mapreduce';
import { DEFAULT_LOG_LIMITS, type LogLimits } from '@synod/replication';
import { drawFaultPlan, Draws, Nemesis, SeedFailure, verdictLines, World, type FaultPlan } from '@synod/simulation';
import type { SeedFault, SeedResult } from './seed-result';
import { SimulatedCluster, type ClusterShape } from './simulated-cluster';
import { Bank } from './workload/bank';
import { CoordinationRegisters } from './workload/coordination-registers';
import { KeyValueRegisters } from './workload/key-value-registers';
import { ListAppend } from './workload/list-append';
import { Timestamps } from './workload/timestamps';
import type { ClientHost, Tally, Workload } from './workload/workload';

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
const DATAGRAM_PROTOCOLS = ['/synod.peer.v1.Peer/Exchange'];

export interface SeedOptions {
  readonly seed: number;
  readonly onTraceLine?: (line: string) => void;
}

/** A failure of the simulated world with the name of what broke. */
class Broken extends Error {
  constructor(
    readonly by: SeedFault['by'],
    readonly broken: string,
    message: string,
  ) {
    super(message);
  }
}

/**
 * Runs one seed: founds a cluster, lets clients work while faults strike, heals everything, waits until all is well, reads once more, and
 * asks the checkers. Never rejects.
 */
export async function runSeed(options: SeedOptions): Promise<SeedResult> {
  const cpu = process.cpuUsage();
  const run = new SeedRun(options);
  let fault: SeedFault | undefined;
  try {
    await run.run();
  } catch (error) {
    fault = faultOf(error);
  }
  const { user, system } = process.cpuUsage(cpu);
  return run.result(fault, (user + system) / 1e6);
}

class SeedRun {
  private readonly world: World;
  private readonly cluster: SimulatedCluster;
  private readonly nemesis: Nemesis;
  private readonly workloads: readonly Workload[];
  private readonly tally: Tally = { acknowledged: 0, unknown: 0, failed: 0 };
  private readonly jobStates = new Map<string, number>();
  private working = 0;
  private ending = false;

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
    const plan = drawn.kinds.length === 0 ? drawn : withGroupCuts(drawn, shape);
    this.world = new World({
      seed,
      shape: plan.shape,
      ...(options.onTraceLine === undefined ? {} : { onTraceLine: options.onTraceLine }),
    });
    this.cluster = new SimulatedCluster(this.world, shape);
    this.nemesis = new Nemesis(this.world, plan, { leader: () => this.cluster.leader() });
    const context = { world: this.world, tally: this.tally };
    this.workloads = [
      new CoordinationRegisters(context),
      new KeyValueRegisters(context),
      new ListAppend(context),
      new Bank(context),
      new Timestamps(context),
    ];
  }

  async run(): Promise<void> {
    this.runJob();
    this.cluster.start();
    await this.until('cluster-founded', () => this.cluster.healthy);
    const [first] = this.cluster.clients;
    await this.finished('prepared', async () => {
      for (const { prepare } of this.bound()) await prepare?.(hostOf(first?.host));
    });
    this.nemesis.start();
    this.startClients();
    await this.world.run(this.world.now + WORK_US);
    this.nemesis.heal();
    // A seed whose faults left little room for work makes up for it, so that its checkers have something to judge.
    await this.world.run(() => this.tally.acknowledged >= ACKNOWLEDGED_MIN, HEAL_US);
    this.ending = true;
    await this.until('clients-answered', () => this.working === 0);
    await this.until('cluster-heals', () => this.cluster.healthy);
    await this.until('no-orphan-intents', () => this.inDoubt() === 0);
    await this.finished('final-reads', async () => {
      for (const { finish } of this.bound()) await finish?.(hostOf(first?.host));
    });
    await this.until('replicas-catch-up', () => this.lagging() === 0);
    this.checkStates();
    this.checkHistories();
    this.checkReplicas();
    this.checkFloor();
  }

  result(fault: SeedFault | undefined, cpuSeconds: number): SeedResult {
    const { world } = this;
    return {
      seed: this.options.seed,
      digest: world.trace.digest(),
      virtualSeconds: world.now / SECOND_US,
      events: world.events,
      cpuSeconds,
      acknowledged: this.tally.acknowledged,
      unknown: this.tally.unknown,
      leaderChanges: this.cluster.watcher.leaderChanges,
      faults: Object.fromEntries(this.nemesis.counts()),
      states: Object.fromEntries([...world.probes.counts(), ...this.jobStates]),
      fault,
      trace: fault === undefined ? [] : world.trace.lines(),
    };
  }

  /** A MapReduce job on virtual time of its own, from the same seed: its scheduler is part of what a seed tests. */
  private runJob(): void {
    for (const [state, count] of simulateJob(this.options.seed).reached) this.jobStates.set(state, count);
  }

  private startClients(): void {
    let machine = 0;
    for (const workload of this.workloads) {
      for (let client = 0; client < workload.clients; client++) {
        const node = this.cluster.clients[machine++ % this.cluster.clients.length];
        this.working++;
        void this.loop(workload, hostOf(node?.host), client).then(
          () => this.working--,
          (error: unknown) => this.world.fail(error),
        );
      }
    }
  }

  private async loop(workload: Workload, host: ClientHost, client: number): Promise<void> {
    while (!this.ending) {
      await workload.step(host, client);
      await new Promise<void>((resolve) => void host.timers.after(1 + host.random.below(THINK_US_MAX), resolve));
    }
  }

  /** Workloads whose methods can be called by themselves. */
  private bound(): Pick<Workload, 'prepare' | 'finish'>[] {
    return this.workloads.map((workload) => ({
      ...(workload.prepare === undefined
        ? {}
        : { prepare: (host: ClientHost) => workload.prepare?.(host) ?? Promise.resolve() }),
      ...(workload.finish === undefined
        ? {}
        : { finish: (host: ClientHost) => workload.finish?.(host) ?? Promise.resolve() }),
    }));
  }

  private async until(name: string, condition: () => boolean): Promise<void> {
    const held = await this.world.run(condition, HEAL_US);
    if (held) return;
    // A cluster that found its states to differ stops on purpose.
    this.checkStates();
    throw new Broken('liveness', name, `not so within ${HEAL_US / SECOND_US} virtual seconds`);
  }

  private async finished(name: string, work: () => Promise<void>): Promise<void> {
    let done = false;
    let failed: unknown;
    work().then(
      () => (done = true),
      (error: unknown) => {
        failed = error;
        done = true;
      },
    );
    await this.until(name, () => done);
    if (failed === undefined) return;
    this.checkStates();
    throw new Broken('liveness', name, textOf(failed));
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
    const alarms = this.cluster.consensus.flatMap((node) => node.host?.host.alarms ?? []);
    const corrupt = alarms.find(({ type }) => type === 'corrupt');
    if (corrupt === undefined) return;
    throw new Broken(
      'invariant',
      'replicas-are-equal',
      `the state of member ${corrupt.member} differs from the others'`,
    );
  }

  private checkHistories(): void {
    for (const workload of this.workloads) {
      for (const { name, verdict } of workload.check()) {
        if (verdict.verdict === 'legal') continue;
        const by = verdict.verdict === 'illegal' ? 'history' : 'crash';
        throw new Broken(
          by,
          verdict.verdict === 'illegal' ? name : 'checker-undecided',
          verdictLines(verdict).slice(0, 12).join('\n'),
        );
      }
    }
  }

  private checkReplicas(): void {
    const diverged = this.cluster.diverged();
    if (diverged.length > 0) throw new Broken('invariant', 'replicas-agree', diverged.join(', '));
  }

  private checkFloor(): void {
    if (this.tally.acknowledged >= ACKNOWLEDGED_MIN) return;
    throw new Broken(
      'floor',
      'seed-floor',
      `${this.tally.acknowledged} operations acknowledged, at least ${ACKNOWLEDGED_MIN} wanted`,
    );
  }
}

function hostOf(host: ClientHost | undefined): ClientHost {
  if (host === undefined) throw new Broken('crash', 'client-started', 'a client machine has no process');
  return host;
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

/** In most seeds logs are cut again and again, and who was away for a moment needs a snapshot. */
function drawLogLimits(seed: number): LogLimits {
  const draws = new Draws(seed, 'plan', 'log limits');
  if (draws.chance(1, 4)) return DEFAULT_LOG_LIMITS;
  return {
    segmentBytes: draws.pick([4 << 10, 16 << 10, 64 << 10]),
    tailInstances: draws.pick([0, 3, 20]),
    tailBytes: draws.pick([1 << 10, 1 << 20]),
  };
}

/**
 * Adds, in half of the seeds, members that their own service cannot reach while everybody else can: what turns a leader that does not
 * prove its leadership into a liar.
 */
function withGroupCuts(plan: FaultPlan, shape: ClusterShape): FaultPlan {
  const draws = new Draws(plan.seed, 'plan', 'group cuts');
  if (draws.chance(1, 2)) return plan;
  const servers = serversOf(shape);
  const cuts = Array.from({ length: draws.between(2, 5) }, () => {
    const service = draws.pick(['consensus', 'storage']);
    const members = servers.filter((name) => name.startsWith(service));
    const victim = draws.pick(members);
    const directions = members
      .filter((name) => name !== victim)
      .flatMap((name) => [
        { from: name, to: victim },
        { from: victim, to: name },
      ]);
    const forUs = draws.between(2 * SECOND_US, 5 * SECOND_US);
    return { kind: 'cut', atUs: draws.below(WORK_US), form: 'partition', directions, forUs } as const;
  });
  return { ...plan, actions: [...plan.actions, ...cuts].sort((a, b) => a.atUs - b.atUs) };
}

function serversOf({ consensus, storage, coordinators }: ClusterShape): string[] {
  const named = (service: string, count: number): string[] =>
    Array.from({ length: count }, (_, index) => `${service}-${index + 1}`);
  return [...named('consensus', consensus), ...named('storage', storage), ...named('coordinator', coordinators)];
}

function faultOf(error: unknown): SeedFault {
  if (error instanceof Broken) return { name: error.broken, by: error.by, message: error.message };
  if (error instanceof SeedFailure) {
    const by = error.invariant === 'uncaught' ? 'crash' : 'invariant';
    const stack = error.cause instanceof Error ? (error.cause.stack ?? '') : '';
    return { name: error.invariant, by, message: `${error.message}\n${stack}` };
  }
  if (error instanceof InvariantViolation) return { name: error.invariant, by: 'invariant', message: textOf(error) };
  return {
    name: 'uncaught',
    by: 'crash',
    message: textOf(error),
  };
}

function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : JSON.stringify(error);
}
