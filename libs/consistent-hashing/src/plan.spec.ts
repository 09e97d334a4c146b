import fc from 'fast-check';
import { spreadLeaders } from './leaders';
import { loadBounds } from './load';
import { planPlacement, type PlacementPlan } from './plan';
import { NotEnoughNodesError, type RingNode } from './ring';

const SLACK = 0.05;
const named = (count: number): RingNode[] => Array.from({ length: count }, (_, index) => ({ id: `s${index + 1}` }));

function loads(plan: PlacementPlan): Map<string, number> {
  const counts = new Map<string, number>();
  for (const node of plan.replicas.flat()) counts.set(node, (counts.get(node) ?? 0) + 1);
  return counts;
}

function expectBounded(plan: PlacementPlan, nodes: readonly RingNode[], replicas: number): void {
  const bounds = loadBounds(nodes, plan.replicas.length, replicas, SLACK);
  expect([...loads(plan)].filter(([node, load]) => load > (bounds.get(node)?.cap ?? 0))).toEqual([]);
}

function expectDistinct(plan: PlacementPlan, replicas: number): void {
  expect(plan.replicas.filter((holders) => new Set(holders).size !== replicas)).toEqual([]);
  expect(plan.replicas.every((holders) => holders.length === replicas)).toBe(true);
}

/** Plans cost milliseconds each: half the usual number of runs. */
const RUNS = { numRuns: 50 };

const shape = fc.record({
  nodeCount: fc.integer({ min: 1, max: 12 }),
  exponent: fc.integer({ min: 0, max: 8 }),
  wantedReplicas: fc.integer({ min: 1, max: 5 }),
});

describe('planPlacement', () => {
  it('places every shard on distinct nodes, none above the bound on load', () => {
    fc.assert(
      fc.property(shape, ({ nodeCount, exponent, wantedReplicas }) => {
        const replicas = Math.min(nodeCount, wantedReplicas);
        const nodes = named(nodeCount);
        const plan = planPlacement({ shardCount: 2 ** exponent, replicas, nodes });
        expectDistinct(plan, replicas);
        expectBounded(plan, nodes, replicas);
        expect(plan.moves).toHaveLength(2 ** exponent * replicas);
      }),
      RUNS,
    );
  });

  it('wants nothing more once its plan is carried out', () => {
    fc.assert(
      fc.property(shape, ({ nodeCount, exponent, wantedReplicas }) => {
        const request = {
          shardCount: 2 ** exponent,
          replicas: Math.min(nodeCount, wantedReplicas),
          nodes: named(nodeCount),
        };
        const plan = planPlacement(request);
        const again = planPlacement({ ...request, present: plan.replicas });
        expect(again.moves).toEqual([]);
        expect(again.replicas).toEqual(plan.replicas);
      }),
      RUNS,
    );
  });

  it('moves at most the share of a node that joins, and only to it', () => {
    fc.assert(
      fc.property(shape, ({ nodeCount, exponent, wantedReplicas }) => {
        const shardCount = 2 ** exponent;
        const replicas = Math.min(nodeCount, wantedReplicas);
        const before = planPlacement({ shardCount, replicas, nodes: named(nodeCount) });
        const nodes = named(nodeCount + 1);
        const after = planPlacement({ shardCount, replicas, nodes, present: before.replicas });
        const share = (shardCount * replicas) / nodes.length;
        expect(after.moves.every((move) => move.to === `s${nodeCount + 1}`)).toBe(true);
        expect(after.moves.length).toBeLessThanOrEqual(Math.ceil(share));
        expect(after.moves.length).toBeGreaterThanOrEqual(Math.floor((1 - SLACK) * share));
        expectDistinct(after, replicas);
        expectBounded(after, nodes, replicas);
      }),
      RUNS,
    );
  });

  it('moves little more than what a node that left had held', () => {
    fc.assert(
      fc.property(shape, fc.nat(), ({ nodeCount, exponent, wantedReplicas }, pick) => {
        fc.pre(nodeCount > 1);
        const shardCount = 2 ** exponent;
        const replicas = Math.min(nodeCount - 1, wantedReplicas);
        const before = planPlacement({ shardCount, replicas, nodes: named(nodeCount) });
        const gone = `s${(pick % nodeCount) + 1}`;
        const nodes = named(nodeCount).filter((node) => node.id !== gone);
        const after = planPlacement({ shardCount, replicas, nodes, present: before.replicas });
        const lost = loads(before).get(gone) ?? 0;
        expect(after.moves.filter((move) => move.from === gone)).toHaveLength(lost);
        expect(after.moves.length - lost).toBeLessThanOrEqual(Math.ceil(SLACK * shardCount * replicas) + nodes.length);
        expectDistinct(after, replicas);
        expectBounded(after, nodes, replicas);
      }),
      RUNS,
    );
  });

  it('stays within bounds over any history of joins and leaves, deterministically', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ join: fc.boolean(), pick: fc.nat() }), { maxLength: 8 }), (steps) => {
        let nodes = named(4);
        let nextId = 5;
        let present: readonly (readonly string[])[] = [];
        for (const { join, pick } of steps) {
          if (join) nodes = [...nodes, { id: `s${nextId++}` }];
          else if (nodes.length > 3) nodes = nodes.filter((_, index) => index !== pick % nodes.length);
          const request = { shardCount: 64, replicas: 3, nodes, present };
          const plan = planPlacement(request);
          expect(planPlacement({ ...request, nodes: [...nodes].reverse() })).toEqual(plan);
          expectDistinct(plan, 3);
          expectBounded(plan, nodes, 3);
          present = plan.replicas;
        }
      }),
      { numRuns: 40 },
    );
  });

  it('keeps the replicas of a shard in distinct zones', () => {
    const nodes = ['a', 'b', 'c'].flatMap((zone) => [1, 2].map((index) => ({ id: `${zone}${index}`, zone })));
    const plan = planPlacement({ shardCount: 64, replicas: 3, nodes });
    for (const holders of plan.replicas) expect(holders.map((id) => id[0]).sort()).toEqual(['a', 'b', 'c']);
    expectBounded(plan, nodes, 3);
    const after = planPlacement({ shardCount: 64, replicas: 3, nodes: nodes.slice(1), present: plan.replicas });
    for (const holders of after.replicas) expect(holders.map((id) => id[0]).sort()).toEqual(['a', 'b', 'c']);
  });

  it('gives heavier nodes more, up to one replica of every shard', () => {
    const nodes = [{ id: 'huge', weight: 100 }, { id: 'double', weight: 2 }, { id: 'a' }, { id: 'b' }];
    const plan = planPlacement({ shardCount: 64, replicas: 2, nodes });
    expect(loads(plan).get('huge')).toBe(64);
    expect(loads(plan).get('double')).toBeGreaterThan(28);
    expectBounded(plan, nodes, 2);
  });

  it('raises the number of replicas when nodes come', () => {
    const single = planPlacement({ shardCount: 16, replicas: 1, nodes: named(1) });
    const plan = planPlacement({ shardCount: 16, replicas: 3, nodes: named(3), present: single.replicas });
    expect(plan.moves).toHaveLength(32);
    expect(plan.moves.every((move) => move.from === undefined)).toBe(true);
  });

  it('refuses fewer nodes than replicas', () => {
    expect(() => planPlacement({ shardCount: 4, replicas: 3, nodes: named(2) })).toThrow(NotEnoughNodesError);
  });
});

describe('spreadLeaders', () => {
  it('lets every node lead equally many shards of a founding plan, give or take one', () => {
    const plan = planPlacement({ shardCount: 64, replicas: 3, nodes: named(5) });
    const led = new Map<string, number>();
    for (const [leader] of plan.replicas) led.set(leader as string, (led.get(leader as string) ?? 0) + 1);
    expect([...led.values()].sort()).toEqual([12, 13, 13, 13, 13]);
  });

  it('hands over along a chain when no replica is shared by the busiest and the idlest', () => {
    const replicas = [['a'], ['a', 'b'], ['b', 'c'], ['a']];
    expect(spreadLeaders(replicas, ['a', 'a', 'b', 'a'])).toEqual(['a', 'b', 'c', 'a']);
  });

  it('leaves leaders alone that are spread already', () => {
    const present = ['c', 'a', 'b'];
    expect(
      spreadLeaders(
        [
          ['a', 'b', 'c'],
          ['a', 'b', 'c'],
          ['a', 'b', 'c'],
        ],
        present,
      ),
    ).toEqual(present);
  });
});
