import { DEFAULT_TIMES, type ReplicationTimes } from '@synod/replication';
import { drawFaultPlan, Draws, LEADER, Nemesis, World, type FaultPlan } from '@synod/simulation';
import { Broken } from '../broken';
import { DATAGRAM_PROTOCOLS } from '../cluster-area';
import { withGroupCuts } from '../group-cuts';
import { drawLogLimits } from '../log-limits';
import type { SeedFault, SeedResult } from '../seed-result';
import { runSeed, SeedRun, type SeedOptions } from '../seed-run';
import { CoordinationRegisters } from '../workload/coordination-registers';
import { Timestamps } from '../workload/timestamps';
import type { Tally } from '../workload/workload';
import { Bursts } from './bursts';
import { Compactions } from './compactions';
import { ConsensusCluster, machineNames, type ConsensusShape } from './consensus-cluster';
import { Leases } from './leases';
import { FailingDisks } from './failing-disks';
import { freezeLeaders } from './freezes';
import { fillDisks, Space } from './full-disks';
import { Locks } from './locks';
import type { Machine } from './machine';
import type { MemberClient } from './member-client';
import { Operator, type Deed, type OperatorHabits } from './operator';
import { Watches } from './watches';

const SECOND_US = 1_000_000;
/** Faults and clients go on for so long. */
const WORK_US = 10 * SECOND_US;
/** A healed cluster is well within so long, whatever has to be repaired. */
const HEAL_US = 30 * SECOND_US;
/** Of a burst of writes: how long it is lost at first, and how long its leader then lives, at most. */
const STRIKE_US = 4_000;
/** A leader that was struck in a burst is back by then. */
const STRUCK_US = 3 * SECOND_US;
/** A put at a member of a healed cluster succeeds within so long. */
const PUT_US = 10 * SECOND_US;
/** A seed that does less proves nothing. */
const ACKNOWLEDGED_MIN = 60;
/** Between two operations of a client, at most. */
const THINK_US_MAX = 400_000;
/** What no clock of a world is wrong by more than: leases are given no room beyond what they need. */
const LEASES = { maxClockDriftPpm: 200 };

/**
 * Runs one seed of the consensus service alone: founds it, lets clients and an operator work while faults strike, heals everything, waits until
 * all is repaired, writes at every member, reads once more, and asks the checkers. Never rejects.
 */
export function runConsensusSeed(options: SeedOptions): Promise<SeedResult> {
  return runSeed(() => new ConsensusArea(options));
}

class ConsensusArea {
  private readonly world: World;
  private readonly cluster: ConsensusCluster;
  private readonly nemesis: Nemesis;
  private readonly habits: OperatorHabits;
  private readonly run: SeedRun<MemberClient>;
  private readonly quiet: boolean;
  /** Absent where none fails. */
  private readonly failingDisks: FailingDisks | undefined;
  private operator: Operator | undefined;
  private healed = false;

  constructor({ seed, onTraceLine }: SeedOptions) {
    const drawnShape = drawShape(seed);
    const servers = machineNames(drawnShape);
    const drawn = drawFaultPlan(seed, { servers, horizonUs: WORK_US, datagramProtocols: DATAGRAM_PROTOCOLS });
    const quiet = (this.quiet = drawn.kinds.length === 0);
    const shape = { ...drawnShape, disksFill: !quiet && drawnShape.disksFill };
    const plan = quiet
      ? drawn
      : withClocksApart(withStuckDisks(withGroupCuts(drawn, [servers], WORK_US), servers), servers);
    this.habits = drawHabits(seed, shape, quiet);
    this.world = new World({ seed, shape: plan.shape, ...(onTraceLine === undefined ? {} : { onTraceLine }) });
    this.cluster = new ConsensusCluster(this.world, shape);
    this.failingDisks =
      !quiet && new Draws(seed, 'plan', 'failing disks').chance(1, 4)
        ? new FailingDisks(this.world, this.world.draws('nemesis', 'failing disks'), this.cluster.machines)
        : undefined;
    this.nemesis = new Nemesis(this.world, plan, { leader: () => this.cluster.leader?.name });
    const tally: Tally = { acknowledged: 0, unknown: 0, failed: 0 };
    const context = { world: this.world, tally };
    const registers = new CoordinationRegisters(context);
    const watches = new Watches(context, registers);
    const strikes = this.world.draws('nemesis', 'strikes');
    const ttlSeconds = 2 * Math.ceil((1.5 * shape.times.electionTimeoutUs) / SECOND_US);
    this.run = new SeedRun<MemberClient>({
      world: this.world,
      nemesis: this.nemesis,
      tally,
      workloads: [
        registers,
        watches,
        new Leases(context, ttlSeconds),
        new Locks(context, ttlSeconds),
        new Compactions(context, watches),
        new Timestamps(context),
        new Bursts(
          context,
          () => this.cluster.leader,
          quiet || hasClocksApart(seed) ? undefined : (leader) => this.strike(leader, strikes),
        ),
        ...(shape.disksFill ? [new Space(context, this.cluster.machines)] : []),
      ],
      thinkUsMax: THINK_US_MAX,
      patienceUs: HEAL_US,
      acknowledgedMin: ACKNOWLEDGED_MIN,
      excuse: () => {
        this.cluster.checkStates();
        this.failingDisks?.check();
      },
    });
  }

  async go(): Promise<void> {
    const { run, cluster, world } = this;
    cluster.start();
    await run.until('cluster-founded', () => cluster.leader !== undefined);
    const hosts = cluster.clients.map(({ host }) => host);
    const [first] = hosts;
    if (first === undefined) throw new Broken('crash', 'client-started', 'a client machine has no process');
    const operator = (this.operator = new Operator(
      world,
      cluster,
      first,
      this.habits,
      world.draws('nemesis', 'operator'),
    ));
    this.nemesis.start();
    if (cluster.shape.leases !== undefined && !this.quiet) {
      const { machines } = cluster;
      freezeLeaders(world, world.draws('nemesis', 'freezes'), {
        leader: () => cluster.leader,
        machines,
        withinUs: WORK_US,
      });
    }
    if (cluster.shape.disksFill) {
      const { machines } = cluster;
      fillDisks(world, world.draws('nemesis', 'full disks'), {
        leader: () => cluster.leader,
        machines,
        withinUs: WORK_US,
      });
    }
    this.failingDisks?.begin(WORK_US);
    run.startClients(hosts);
    operator.work().catch((error: unknown) => world.fail(error));
    await world.run(world.now + WORK_US);
    operator.calm();
    this.healed = true;
    this.nemesis.heal();
    for (const { gauge } of cluster.machines) gauge.empty();
    await run.until('members-repaired', () => operator.tidy);
    await run.finished('put-at-every-member', () => this.putEverywhere(first));
    await run.endClients();
    await run.finish(first);
    await run.until('replicas-catch-up', () => cluster.converged);
    cluster.checkStates();
    run.checkHistories();
    this.checkReplicas();
    this.failingDisks?.check();
    run.checkFloor();
  }

  result(fault: SeedFault | undefined, cpuSeconds: number): SeedResult {
    return this.run.result(fault, {
      cpuSeconds,
      leaderChanges: this.cluster.watcher.leaderChanges,
      states: Object.fromEntries(this.world.probes.counts()),
    });
  }

  /**
   * The first of what a leader says now is lost, the rest is not, and then it dies: its successor finds votes for some instances and none
   * for those below them. Only where messages are lost one by one; where they are a stream, what follows is lost with them.
   */
  private strike({ name, node }: Machine, draws: Draws): void {
    const { world, cluster } = this;
    if (this.healed || this.operator?.tells === true) return;
    const directions = cluster.machines
      .filter((other) => other.name !== name)
      .map((other) => ({ from: name, to: other.name }));
    const cutUs = draws.between(STRIKE_US / 2, STRIKE_US);
    world.network.cut(directions);
    world.after(cutUs, () => world.network.uncut(directions));
    world.after(cutUs + draws.below(STRIKE_US), () => {
      if (this.healed || node.state === 'down') return;
      node.kill(draws.chance(1, 2) ? 'power' : 'process');
      world.after(draws.between(STRUCK_US / 2, STRUCK_US), () => node.start());
    });
  }

  /** What is healed serves, wherever it is asked: within a bounded time, in which a leader may yet have to be found. */
  private async putEverywhere(client: MemberClient): Promise<void> {
    const leader = this.cluster.leader?.member;
    for (const machine of leader === undefined ? [] : this.cluster.machinesOf(leader)) {
      const deadline = this.world.now + PUT_US;
      const put = { kind: 'put', key: Buffer.from(`healed/${machine.name}`), value: Buffer.from('1') } as const;
      const attempt = (): Promise<unknown> =>
        client.call(
          'outcome-unknown',
          (node) => node.coordination.transaction({ compare: [], success: [put], failure: [] }),
          machine,
        );
      while (!(await attempt().then(succeeded, failed))) {
        if (this.world.now > deadline) throw new Error(`no put at ${machine.name} succeeds`);
      }
    }
  }

  private checkReplicas(): void {
    const diverged = this.cluster.diverged();
    if (diverged.length > 0) throw new Broken('invariant', 'replicas-agree', diverged.join(', '));
  }
}

function succeeded(): boolean {
  return true;
}

function failed(): boolean {
  return false;
}

/** Adds, in a quarter of the seeds, disks on which a sync takes longer than a leader has patience with itself. */
function withStuckDisks(plan: FaultPlan, servers: readonly string[]): FaultPlan {
  const draws = new Draws(plan.seed, 'plan', 'stuck disks');
  if (!draws.chance(1, 4)) return plan;
  const stuck = Array.from({ length: draws.between(2, 4) }, () => ({
    kind: 'slow-disk' as const,
    atUs: draws.below(WORK_US),
    nodes: [draws.pick(servers)],
    syncMeanUs: SECOND_US,
    forUs: draws.between(SECOND_US, 2 * SECOND_US),
  }));
  return { ...plan, actions: [...plan.actions, ...stuck].sort((a, b) => a.atUs - b.atUs) };
}

function hasClocksApart(seed: number): boolean {
  return new Draws(seed, 'plan', 'clocks apart').chance(1, 16);
}

/**
 * Adds, in a few seeds, wall clocks that are many seconds apart, and leaders that reign for a while and then die: whoever is next may live in the
 * past. Leaders that die young never use more than the first window of timestamps.
 */
function withClocksApart(plan: FaultPlan, servers: readonly string[]): FaultPlan {
  if (!hasClocksApart(plan.seed)) return plan;
  const draws = new Draws(plan.seed, 'plan', 'how far apart');
  const clocks = servers.map((node) => ({
    node,
    error: { wallOffsetMs: draws.between(-20_000, 20_000), driftPpm: 0, wallDriftPpm: 0 },
  }));
  const deaths = [WORK_US / 2, WORK_US - SECOND_US].map((atUs) => ({
    kind: 'crash' as const,
    atUs,
    node: LEADER,
    how: 'process' as const,
    downUs: draws.between(2 * SECOND_US, 3 * SECOND_US),
  }));
  const kept = plan.actions.filter(({ kind }) => kind === 'clock-step' || kind === 'reset');
  return { ...plan, clocks, actions: [...kept, ...deaths].sort((a, b) => a.atUs - b.atUs) };
}

/** How large the cluster of a seed is, and how hasty. */
function drawShape(seed: number): ConsensusShape {
  const draws = new Draws(seed, 'plan', 'consensus');
  return {
    founders: draws.pick([3, 3, 5]),
    spares: 2,
    clients: 3,
    times: draws.chance(1, 2) ? DEFAULT_TIMES : drawTimes(draws),
    logLimits: drawLogLimits(seed),
    leases: new Draws(seed, 'plan', 'leader leases').chance(1, 3) ? LEASES : undefined,
    disksFill: new Draws(seed, 'plan', 'full disks').chance(1, 4),
  };
}

function drawTimes(draws: Draws): ReplicationTimes {
  const electionTimeoutUs = draws.between(300_000, 1_000_000);
  return {
    electionTimeoutUs,
    heartbeatUs: Math.floor(electionTimeoutUs / 10),
    tickUs: Math.floor(electionTimeoutUs / 20),
    flushUs: draws.between(100_000, 1_000_000),
  };
}

/** In a quarter of the seeds the members stay who they are, whatever happens to them. */
function drawHabits(seed: number, { founders }: ConsensusShape, quiet: boolean): OperatorHabits {
  const draws = new Draws(seed, 'plan', 'operator');
  const all: readonly Deed[] = ['grow', 'outgrow', 'remove', 'remove-leader', 'move-leader', 'blank-disk', 'bit-rot'];
  const deeds = quiet || draws.chance(1, 4) ? [] : draws.shuffled(all).slice(0, draws.between(1, all.length));
  return { voters: founders, pauseUsMax: draws.logUniform(200_000, 2_000_000), deeds };
}
