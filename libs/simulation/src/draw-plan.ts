import { Draws } from './draw';
import { drawCut } from './draw-cut';
import { FAULT_KINDS, LEADER, type FaultKind, type FaultPlan, type NemesisAction, type Target } from './fault-plan';
import { CALM, type WorldShape } from './shape';

export interface PlanOptions {
  /** What may crash, pause, or be cut off. */
  readonly servers: readonly string[];
  /** May be cut off from servers, nothing else. */
  readonly clients?: readonly string[];
  /** Faults begin within `[0, horizonUs)`. */
  readonly horizonUs: number;
  /** Protocols that survive loss, repetition and reordering; they get them in half of the seeds. */
  readonly datagramProtocols?: readonly string[];
  /** Switches the fault kinds instead of chance: for a test of one kind. */
  readonly kinds?: readonly FaultKind[];
}

/** How often a kind strikes, and whom: drawn once per seed and kind, and lopsided on purpose. */
interface Habit {
  readonly draws: Draws;
  readonly timesUs: readonly number[];
  /** Longest duration of one strike; each draws its own below it. */
  readonly durationUsMax: number;
  readonly victim: () => Target;
}

const SECOND = 1_000_000;

/**
 * Draws what goes wrong in a seed. Each kind of fault is on in half of the seeds and off in the other half, with a strength of its
 * own: extreme, lopsided mixes find more than "everything at one percent" (Groce et al., "Swarm Testing", ISSTA 2012). One seed in
 * ten is quiet. None of it destroys synced data, so every world is one in which Synod must keep its promises.
 */
export function drawFaultPlan(seed: number, options: PlanOptions): FaultPlan {
  const kinds = options.kinds ?? drawKinds(seed);
  const actions: NemesisAction[] = [];
  for (const kind of kinds) actions.push(...strikesOf(kind, habitOf(seed, kind, options), options));
  return {
    seed,
    kinds,
    shape: drawShape(seed, kinds, options),
    clocks: drawClocks(seed, kinds, options),
    actions: actions.sort((a, b) => a.atUs - b.atUs),
  };
}

function drawKinds(seed: number): FaultKind[] {
  const draws = new Draws(seed, 'plan', 'kinds');
  // Each kind has a place of its own among the draws, so that a new kind leaves old seeds nearly as they were.
  const quiet = draws.chance(1, 10);
  return FAULT_KINDS.filter((kind) => !quiet && new Draws(seed, 'plan', `on ${kind}`).chance(1, 2));
}

function habitOf(seed: number, kind: FaultKind, { servers, horizonUs }: PlanOptions): Habit {
  const draws = new Draws(seed, 'plan', kind);
  const gapMeanUs = draws.logUniform(horizonUs / 8, horizonUs);
  const timesUs: number[] = [];
  for (let at = draws.exponential(gapMeanUs); at < horizonUs; at += 1 + draws.exponential(gapMeanUs)) timesUs.push(at);
  // A kind that is on strikes at least once.
  if (timesUs.length === 0) timesUs.push(draws.below(horizonUs));
  const favourite = draws.pick(servers);
  const taste = draws.pick(['anyone', 'anyone', 'favourite', 'leader']);
  const victim = (): Target => (taste === 'anyone' ? draws.pick(servers) : taste === 'favourite' ? favourite : LEADER);
  return { draws, timesUs, durationUsMax: draws.logUniform(100_000, 4 * SECOND), victim };
}

/** All strikes of one kind; none for the kinds that shape the whole world instead. */
function strikesOf(kind: FaultKind, habit: Habit, options: PlanOptions): NemesisAction[] {
  const { draws, victim } = habit;
  const { servers } = options;
  const all = [...servers, ...(options.clients ?? [])];
  const lasting = (): number => 1 + draws.exponential(habit.durationUsMax / 2);
  const each = (strike: (atUs: number) => NemesisAction | NemesisAction[]): NemesisAction[] =>
    habit.timesUs.flatMap(strike);
  switch (kind) {
    case 'crash':
    case 'power-cut':
      return each((atUs) => {
        const node = victim();
        const how = kind === 'crash' ? 'process' : 'power';
        const first = { kind: 'crash', atUs, node, how, downUs: lasting() } as const;
        if (!draws.chance(1, 10)) return first;
        // Recovery is the code that runs least: crash in the midst of it.
        const againUs = atUs + first.downUs + draws.below(SECOND);
        return [first, { kind: 'crash', atUs: againUs, node, how, downUs: lasting() }];
      });
    case 'crash-all': {
      // One or two a seed: a cluster that is down all the time finds nothing.
      const how = draws.chance(1, 2) ? 'power' : 'process';
      return habit.timesUs.slice(0, draws.between(1, 2)).map((atUs) => {
        return { kind, atUs, how, downUs: Object.fromEntries(servers.map((node) => [node, draws.below(SECOND)])) };
      });
    }
    case 'pause':
      return each((atUs) => ({ kind, atUs, node: victim(), forUs: lasting() }));
    case 'partition':
    case 'one-way':
    case 'ring':
    case 'bridge':
      return each((atUs) => ({
        kind: 'cut',
        atUs,
        form: kind,
        directions: drawCut(kind, servers, options.clients ?? [], draws),
        forUs: lasting(),
      }));
    case 'isolate':
      return each((atUs) => ({ kind, atUs, node: victim(), way: draws.pick(['in', 'out', 'both']), forUs: lasting() }));
    case 'clog':
      return each((atUs) => {
        const from = draws.pick(all);
        return {
          kind,
          atUs,
          directions: all.filter(() => draws.chance(1, 2)).map((to) => ({ from, to })),
          forUs: lasting(),
        };
      });
    case 'swizzle-clog':
      return each((atUs) => {
        const span = draws.logUniform(10_000, 5 * SECOND);
        const half = draws.shuffled(servers).slice(0, Math.ceil(servers.length / 2));
        const clogs = half.map((node) => {
          const afterUs = draws.below(Math.ceil(span / 2));
          return { node, afterUs, forUs: draws.between(Math.ceil(span / 2), span) - afterUs };
        });
        return { kind, atUs, clogs };
      });
    case 'reset':
      return each((atUs) => ({ kind, atUs, a: draws.pick(servers), b: draws.pick(all) }));
    case 'slow-disk':
      return each((atUs) => ({
        kind,
        atUs,
        nodes: draws.chance(1, 4) ? servers : [draws.pick(servers)],
        syncMeanUs: draws.logUniform(2_000, 300_000),
        forUs: lasting(),
      }));
    case 'clock-step':
      return each((atUs) => ({ kind, atUs, node: draws.pick(servers), byMs: drawSignedMs(draws, 3_600_000) }));
    case 'clock-offset':
    case 'clock-drift':
    case 'wide-area':
    case 'datagrams':
    case 'small-queues':
    case 'late-timers':
      return [];
  }
}

function drawShape(seed: number, kinds: readonly FaultKind[], options: PlanOptions): WorldShape {
  const draws = new Draws(seed, 'plan', 'shape');
  const on = (kind: FaultKind): boolean => kinds.includes(kind);
  const [delayMin, delayMean, loss, duplicate] = [draws.next(), draws.next(), draws.below(301), draws.below(501)];
  const [queue, late, turn, codec] = [
    draws.between(64, 512),
    draws.logUniform(1_000, 50_000),
    draws.below(1_000),
    draws.chance(1, 8),
  ];
  const reject = draws.below(1_001);
  return {
    network: {
      ...CALM.network,
      delayMinUsMax: on('wide-area') ? 500 + (delayMin % 8_000) : CALM.network.delayMinUsMax,
      delayMeanUsMax: on('wide-area') ? 1_000 + (delayMean % 20_000) : CALM.network.delayMeanUsMax,
      datagramProtocols: on('datagrams') ? (options.datagramProtocols ?? []) : [],
      // Strong loss in few seeds: a strength is squared, so that half of them stay below a quarter of the maximum.
      lossPermille: Math.round((loss * loss) / 300),
      duplicatePermille: Math.round((duplicate * duplicate) / 500),
      queueMax: on('small-queues') && queue % 4 === 0 ? queue : CALM.network.queueMax,
      codec,
      rejectPermille: Math.round((reject * reject) / 1_000),
    },
    disk: CALM.disk,
    timers: on('late-timers') ? { latenessUsMax: late, turnUsMax: turn } : CALM.timers,
  };
}

function drawClocks(
  seed: number,
  kinds: readonly FaultKind[],
  { servers, clients = [] }: PlanOptions,
): FaultPlan['clocks'] {
  const offset = kinds.includes('clock-offset');
  const drift = kinds.includes('clock-drift');
  if (!offset && !drift) return [];
  const wild = new Draws(seed, 'plan', 'wild wall clocks').chance(1, 5);
  return [...servers, ...clients].map((node) => {
    const draws = new Draws(seed, 'plan', `clock ${node}`);
    const [offsetMs, driftPpm, wallDriftPpm] = [
      drawSignedMs(draws, 5_000),
      draws.between(-200, 200),
      draws.between(-100_000, 100_000),
    ];
    return {
      node,
      error: {
        wallOffsetMs: offset ? offsetMs : 0,
        driftPpm: drift ? driftPpm : 0,
        wallDriftPpm: !drift ? 0 : wild ? wallDriftPpm : driftPpm,
      },
    };
  });
}

/** Either way, as often small as large. */
function drawSignedMs(draws: Draws, max: number): number {
  return draws.logUniform(1, max) * (draws.chance(1, 2) ? 1 : -1);
}
