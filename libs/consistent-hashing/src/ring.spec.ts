import { NotEnoughNodesError, Ring, type RingNode } from './ring';

const named = (count: number): RingNode[] => Array.from({ length: count }, (_, index) => ({ id: `s${index + 1}` }));
const owners = (ring: Ring): string[] =>
  Array.from({ length: 4_096 }, (_, shard) => ring.replicasOf(shard, 1)[0] as string);

describe('Ring', () => {
  it('is the same whatever order the nodes were named in', () => {
    expect(owners(new Ring(named(5).reverse()))).toEqual(owners(new Ring(named(5))));
  });

  // Karger et al., §4, "monotonicity": what moves on a join moves to the node that joined.
  it('moves about 1/N of the shards on a join, all of them to the new node', () => {
    const ring = new Ring(named(4));
    const before = owners(ring);
    const after = owners(ring.with({ id: 's5' }));
    const moved = after.filter((owner, shard) => owner !== before[shard]);
    expect(new Set(moved)).toEqual(new Set(['s5']));
    expect(moved.length / before.length).toBeGreaterThan(0.16);
    expect(moved.length / before.length).toBeLessThan(0.25);
  });

  it('moves only the shards of a node that leaves, and spreads them over the others', () => {
    const ring = new Ring(named(5));
    const before = owners(ring);
    const after = owners(ring.without('s3'));
    const moved = after.filter((owner, shard) => owner !== before[shard]);
    expect(before.filter((owner) => owner === 's3')).toHaveLength(moved.length);
    expect(new Set(moved)).toEqual(new Set(['s1', 's2', 's4', 's5']));
  });

  it('gives a node of twice the weight about twice as much', () => {
    const counts = new Map<string, number>();
    const ring = new Ring([{ id: 'heavy', weight: 2 }, { id: 'a' }, { id: 'b' }]);
    for (const owner of owners(ring)) counts.set(owner, (counts.get(owner) ?? 0) + 1);
    expect((counts.get('heavy') ?? 0) / 4_096).toBeGreaterThan(0.43);
    expect((counts.get('heavy') ?? 0) / 4_096).toBeLessThan(0.57);
  });

  it('puts replicas on distinct nodes, and in distinct zones while there are enough', () => {
    const ring = new Ring([
      { id: 'a1', zone: 'a' },
      { id: 'a2', zone: 'a' },
      { id: 'b1', zone: 'b' },
      { id: 'b2', zone: 'b' },
    ]);
    for (let shard = 0; shard < 256; shard++) {
      expect(new Set(ring.replicasOf(shard, 3)).size).toBe(3);
      const zones = ring.replicasOf(shard, 2).map((id) => id[0]);
      expect(new Set(zones).size).toBe(2);
    }
  });

  it('refuses to place more replicas than there are nodes', () => {
    expect(() => new Ring(named(2)).replicasOf(0, 3)).toThrow(NotEnoughNodesError);
    expect(() => new Ring([{ id: 'a' }, { id: 'a' }])).toThrow('ring-nodes-are-distinct');
    expect(() => new Ring([{ id: 'a', weight: 0 }])).toThrow('ring-weights-are-positive');
  });
});
