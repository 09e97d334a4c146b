import { drawFaultPlan } from './draw-plan';
import { drawCut } from './draw-cut';
import { Draws } from './draw';
import { FAULT_KINDS, LEADER, type CutForm, type FaultKind, type FaultPlan, type NemesisAction } from './fault-plan';
import { Nemesis } from './nemesis';
import { CALM } from './shape';
import { addNoteNode, notes } from './testing/echo';
import { World } from './world';

// Virtual time is bounded where it matters; a busy machine may take its own.
jest.setTimeout(60_000);

const SERVERS = ['n1', 'n2', 'n3', 'n4', 'n5'];
const CLIENTS = ['c1', 'c2'];
const SEEDS = Array.from({ length: 300 }, (_, index) => index + 1);
const SECOND = 1_000_000;

const options = { servers: SERVERS, clients: CLIENTS, horizonUs: 12 * SECOND, datagramProtocols: [notes.name] };

function planOf(...actions: NemesisAction[]): FaultPlan {
  return { seed: 1, kinds: [], shape: CALM, clocks: [], actions };
}

/** A world of idle nodes under a plan. */
function worldUnder(plan: FaultPlan, leader?: () => string | undefined): { world: World; nemesis: Nemesis } {
  const world = new World({ seed: plan.seed, shape: plan.shape });
  for (const name of SERVERS) addNoteNode(world, name);
  for (const name of CLIENTS) world.addNode(name, () => ({}), { role: 'client' }).start();
  const nemesis = new Nemesis(world, plan, leader === undefined ? {} : { leader });
  nemesis.start();
  return { world, nemesis };
}

describe('a fault plan', () => {
  const plans = SEEDS.map((seed) => drawFaultPlan(seed, options));

  it('is the same for the same seed, and survives being written to a file', () => {
    expect(drawFaultPlan(17, options)).toEqual(plans[16]);
    expect(JSON.parse(JSON.stringify(plans[16]))).toEqual(plans[16]);
  });

  it('is quiet in one seed of ten, and otherwise has each kind in half of the seeds', () => {
    const loud = plans.filter((plan) => plan.kinds.length > 0);
    expect(plans.length - loud.length).toBeGreaterThan(15);
    expect(plans.length - loud.length).toBeLessThan(50);
    for (const kind of FAULT_KINDS) {
      const share = loud.filter((plan) => plan.kinds.includes(kind)).length / loud.length;
      expect([kind, share > 0.35 && share < 0.65]).toEqual([kind, true]);
    }
    for (const plan of plans.filter((quiet) => quiet.kinds.length === 0)) {
      expect([plan.actions, plan.clocks, plan.shape.timers]).toEqual([[], [], CALM.timers]);
      expect(plan.shape.network).toMatchObject({ datagramProtocols: [], delayMeanUsMax: CALM.network.delayMeanUsMax });
    }
  });

  it('leaves all other kinds as they were when one is left out', () => {
    const seed = 5;
    const whole = drawFaultPlan(seed, { ...options, kinds: ['crash', 'pause', 'clog'] });
    const part = drawFaultPlan(seed, { ...options, kinds: ['crash', 'clog'] });
    expect(whole.actions.filter(({ kind }) => kind !== 'pause')).toEqual(part.actions);
  });

  it('switches on codecs, datagrams, small queues, delays and wild clocks somewhere', () => {
    const networks = plans.map((plan) => plan.shape.network);
    const share = (holds: (network: (typeof networks)[number]) => boolean): number =>
      networks.filter(holds).length / networks.length;
    expect(share((network) => network.codec)).toBeCloseTo(1 / 8, 1);
    expect(share((network) => network.datagramProtocols.length > 0)).toBeCloseTo(0.45, 1);
    expect(share((network) => network.queueMax < 1_000)).toBeGreaterThan(0.05);
    expect(share((network) => network.delayMeanUsMax > 1_000)).toBeCloseTo(0.45, 1);
    expect(plans.some((plan) => plan.clocks.some(({ error }) => Math.abs(error.wallDriftPpm) > 10_000))).toBe(true);
    expect(plans.every((plan) => plan.clocks.every(({ error }) => Math.abs(error.driftPpm) <= 200))).toBe(true);
  });
});

describe('a cut', () => {
  const reach = (form: CutForm, seed: number, servers = SERVERS): Map<string, Set<string>> => {
    const cut = new Set(
      drawCut(form, servers, CLIENTS, new Draws(seed, 'test', form)).map(({ from, to }) => `${from}>${to}`),
    );
    const seen = (from: string): string[] =>
      servers.filter((to) => to === from || (!cut.has(`${from}>${to}`) && !cut.has(`${to}>${from}`)));
    return new Map(servers.map((from) => [from, new Set(seen(from))]));
  };

  it('as a partition leaves two sides of any size', () => {
    const sizes = new Set<number>();
    for (const seed of SEEDS.slice(0, 50)) {
      const sides = reach('partition', seed);
      for (const side of sides.values()) for (const member of side) expect(sides.get(member)).toEqual(side);
      sizes.add(sides.get('n1')?.size ?? 0);
    }
    expect(sizes).toEqual(new Set([1, 2, 3, 4]));
  });

  it('as a ring leaves each server a majority, and no two the same one', () => {
    const majorities = [...reach('ring', 1).values()];
    expect(majorities.map((majority) => majority.size)).toEqual([3, 3, 3, 3, 3]);
    expect(new Set(majorities.map((majority) => [...majority].sort().join())).size).toBe(5);
    expect([...reach('ring', 1, ['n1', 'n2', 'n3']).values()].map((majority) => majority.size).sort()).toEqual([
      2, 2, 3,
    ]);
  });

  it('as a bridge leaves one server that sees both halves', () => {
    expect([...reach('bridge', 1).values()].map((seen) => seen.size).sort()).toEqual([3, 3, 3, 3, 5]);
  });

  it('one way has no direction and its reverse', () => {
    const cut = drawCut('one-way', SERVERS, CLIENTS, new Draws(1, 'test', 'one-way'));
    const names = new Set(cut.map(({ from, to }) => `${from}>${to}`));
    expect(cut.some(({ from, to }) => names.has(`${to}>${from}`))).toBe(false);
    expect(cut.length).toBeGreaterThan(0);
  });
});

describe('the nemesis', () => {
  it('does every kind of harm, over some seeds', async () => {
    const counts = new Map<string, number>();
    for (const seed of SEEDS.slice(0, 40)) {
      const { world, nemesis } = worldUnder(drawFaultPlan(seed, options));
      chat(world);
      await world.run(14 * SECOND);
      for (const [kind, count] of nemesis.counts()) counts.set(kind, (counts.get(kind) ?? 0) + count);
    }
    const notCounted: readonly FaultKind[] = ['isolate', 'wide-area', 'datagrams', 'small-queues', 'late-timers'];
    const harms = [
      ...FAULT_KINDS.filter((kind) => !notCounted.includes(kind)),
      'isolate-in',
      'isolate-out',
      'isolate-both',
    ];
    for (const harm of [...harms, 'loss', 'duplicate', 'cut-message', 'connection-broken']) {
      expect([harm, counts.get(harm) ?? 0]).toEqual([harm, expect.any(Number)]);
      expect([harm, (counts.get(harm) ?? 0) > 0]).toEqual([harm, true]);
    }
  });

  it('brings back what it took down', async () => {
    for (const seed of SEEDS.slice(0, 20)) {
      const { world } = worldUnder(drawFaultPlan(seed, options));
      await world.run(120 * SECOND);
      expect([...world.nodes.values()].map((node) => node.state)).toEqual(Array.from({ length: 7 }, () => 'running'));
      for (const from of SERVERS) for (const to of SERVERS) expect(world.network.link(from, to).blocked).toBe(false);
    }
  });

  it('heals all at once, for good', async () => {
    const forever = 1_000 * SECOND;
    const { world, nemesis } = worldUnder(
      planOf(
        { kind: 'crash', atUs: 10, node: 'n1', how: 'power', downUs: forever },
        { kind: 'pause', atUs: 10, node: 'n2', forUs: forever },
        { kind: 'isolate', atUs: 10, node: 'n3', way: 'both', forUs: forever },
        { kind: 'clog', atUs: 10, directions: [{ from: 'n4', to: 'n5' }], forUs: forever },
        { kind: 'crash', atUs: 5_000, node: 'n4', how: 'process', downUs: forever },
      ),
    );
    await world.run(1_000);
    expect(['n1', 'n2'].map((name) => world.node(name).state)).toEqual(['down', 'paused']);
    nemesis.heal();
    await world.run(10_000);
    expect([...world.nodes.values()].map((node) => node.state)).toEqual(Array.from({ length: 7 }, () => 'running'));
    expect(SERVERS.some((from) => SERVERS.some((to) => world.network.link(from, to).blocked))).toBe(false);
  });

  it('heals a core and leaves the rest broken', async () => {
    const { world, nemesis } = worldUnder(
      planOf(
        { kind: 'crash', atUs: 10, node: 'n1', how: 'power', downUs: SECOND },
        { kind: 'crash', atUs: 10, node: 'n2', how: 'power', downUs: SECOND },
        { kind: 'isolate', atUs: 10, node: 'n3', way: 'in', forUs: SECOND },
      ),
    );
    await world.run(1_000);
    nemesis.heal(new Set(['n1', 'n4', 'n5']));
    await world.run(60 * SECOND);
    expect(['n1', 'n2'].map((name) => world.node(name).state)).toEqual(['running', 'down']);
    expect(world.network.link('n4', 'n3').blocked).toBe(true);
    expect(world.network.link('n4', 'n1').blocked).toBe(false);
  });

  it('finds the leader of the moment, or takes anyone', async () => {
    const crashLeader: NemesisAction = { kind: 'crash', atUs: 10, node: LEADER, how: 'process', downUs: 10 * SECOND };
    for (const leader of [() => 'n4', () => undefined, undefined]) {
      const { world, nemesis } = worldUnder(planOf(crashLeader), leader);
      await world.run(1_000);
      const down = SERVERS.filter((name) => world.node(name).state === 'down');
      expect(down).toHaveLength(1);
      if (leader?.() !== undefined) expect(down).toEqual(['n4']);
      expect(nemesis.counts().get('crash')).toBe(1);
    }
  });
});

/** Keeps every server talking to another, so that there is something to lose. */
function chat(world: World): void {
  const talk = (): void => {
    for (const [index, name] of SERVERS.entries()) {
      const { host } = world.node(name) as ReturnType<typeof addNoteNode>;
      const seen = host?.dial(`${SERVERS[(index + 1) % SERVERS.length] ?? ''}:1`);
      for (let count = 0; count < 10; count++)
        world.after(count * 10_000, () => seen?.connection.send({ text: 'chat' }));
    }
    world.after(400_000, talk);
  };
  talk();
}
