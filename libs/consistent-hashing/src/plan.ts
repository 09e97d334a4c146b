import { invariant } from '@synod/invariant';
import { spreadLeaders } from './leaders';
import { loadBounds, type LoadBounds } from './load';
import { NotEnoughNodesError, Ring, tokenOfShard, zoneOf, type RingNode } from './ring';

export interface PlanRequest {
  readonly shardCount: number;
  /** Replicas per shard, on distinct nodes. */
  readonly replicas: number;
  readonly nodes: readonly RingNode[];
  /** By shard, the leader first; absent or empty for shards not placed yet. Nodes that are gone may be named. */
  readonly present?: readonly (readonly string[])[];
  /** How far from its fair share a node may be before replicas are moved; 0.05 by default. A founding plan moves nothing, so it has none. */
  readonly slack?: number;
}

/** One replica that changes its node; `from` is absent if the shard gains a replica. */
export interface Move {
  readonly shard: number;
  readonly from: string | undefined;
  readonly to: string;
}

export interface PlacementPlan {
  /** By shard, the wanted leader first. */
  readonly replicas: readonly (readonly string[])[];
  /** From the present placement to this one; each is a membership change of its shard. */
  readonly moves: readonly Move[];
}

/**
 * Plans which nodes hold which shards. The ring proposes, the bound on load disposes, and what is placed already stays unless a node
 * left, or is too full, or another one idles. A function of its arguments: two planners that see the same propose the same.
 *
 * Invariant `replicas-are-distinct-nodes`: no node holds a shard twice.
 * Invariant `zones-are-distinct`: no two replicas of a shard share a zone, while there are as many zones as replicas.
 * Invariant `moves-only-what-must`: a replica moves only off a node that left or from a fuller node to an emptier one, one of which
 * is out of bounds. So a node that joins N others takes at most its share, about 1/(N+1) of the replicas, and nothing else moves.
 * @throws {NotEnoughNodesError} if there are fewer nodes than replicas
 */
export function planPlacement(request: PlanRequest): PlacementPlan {
  const { shardCount, replicas, nodes, present = [] } = request;
  const slack = present.length === 0 ? 0 : (request.slack ?? 0.05);
  if (nodes.length < replicas) throw new NotEnoughNodesError(replicas, nodes.length);
  const draft = new Draft(nodes, shardCount, replicas, slack);
  for (let shard = 0; shard < shardCount; shard++) draft.keep(shard, present[shard] ?? []);
  for (let shard = 0; shard < shardCount; shard++) draft.fill(shard);
  while (draft.level());
  const placed = draft.result();
  const leaders = spreadLeaders(
    placed,
    present.map((before) => before[0]),
  );
  return {
    replicas: placed.map((holders, shard) => leaderFirst(holders, leaders[shard])),
    moves: placed.flatMap((holders, shard) => movesOf(shard, present[shard] ?? [], holders)),
  };
}

/** A placement in the making. */
class Draft {
  private readonly nodes: ReadonlyMap<string, RingNode>;
  private readonly bounds: ReadonlyMap<string, LoadBounds>;
  /** By shard, all nodes in the order in which the ring proposes them. */
  private readonly proposed: readonly (readonly string[])[];
  private readonly holders: string[][];
  private readonly load = new Map<string, number>();
  private readonly zonesSuffice: boolean;

  constructor(
    nodes: readonly RingNode[],
    shardCount: number,
    private readonly replicas: number,
    slack: number,
  ) {
    const ring = new Ring(nodes);
    this.nodes = new Map(nodes.map((node) => [node.id, node]));
    this.bounds = loadBounds(nodes, shardCount, replicas, slack);
    this.proposed = Array.from({ length: shardCount }, (_, shard) =>
      ring.walk(tokenOfShard(shard)).map((node) => node.id),
    );
    this.holders = Array.from({ length: shardCount }, () => []);
    this.zonesSuffice = new Set(nodes.map(zoneOf)).size >= replicas;
  }

  /** Takes over what is placed already. */
  keep(shard: number, present: readonly string[]): void {
    for (const node of present) {
      const full = this.held(shard).length >= this.replicas;
      if (!full && this.nodes.has(node) && this.mayHold(node, shard)) this.add(node, shard);
    }
  }

  /** Gives a shard the replicas it lacks: the first nodes clockwise that have room, else the emptiest. */
  fill(shard: number): void {
    while (this.held(shard).length < this.replicas) {
      const open = (this.proposed[shard] ?? []).filter((node) => this.mayHold(node, shard));
      const next = open.find((node) => this.loadOf(node) < this.boundsOf(node).cap) ?? this.emptiest(open);
      // With as many zones as replicas, and one zone per holder, a zone and so a node is always left.
      invariant(next !== undefined, 'replicas-are-distinct-nodes', () => `shard ${shard}`);
      this.add(next, shard);
    }
  }

  /** Moves one replica from a fuller to an emptier node, if one of the two is out of bounds. @returns false if none is, or can be helped */
  level(): boolean {
    const byFill = [...this.nodes.keys()].sort((a, b) => this.fillOf(b) - this.fillOf(a) || (a < b ? -1 : 1));
    for (const from of byFill) {
      for (const to of [...byFill].reverse()) {
        if (!this.outOfBounds(from, to) || !this.evensOut(from, to)) continue;
        const shard = this.shardToMove(from, to);
        if (shard === undefined) continue;
        this.remove(from, shard);
        this.add(to, shard);
        return true;
      }
    }
    return false;
  }

  /** Holders in the ring's order. */
  result(): string[][] {
    return this.holders.map((held, shard) => (this.proposed[shard] ?? []).filter((node) => held.includes(node)));
  }

  private outOfBounds(from: string, to: string): boolean {
    return this.loadOf(from) > this.boundsOf(from).cap || this.loadOf(to) < this.boundsOf(to).floor;
  }

  /** Whether the sum of load² / share falls: it does so with every move, therefore levelling ends. */
  private evensOut(from: string, to: string): boolean {
    const relief = (2 * this.loadOf(from) - 1) / this.boundsOf(from).share;
    const burden = (2 * this.loadOf(to) + 1) / this.boundsOf(to).share;
    return burden < relief && this.loadOf(to) < this.boundsOf(to).cap;
  }

  /** Of the shards that could move, the one for which the ring proposes `to` earliest. */
  private shardToMove(from: string, to: string): number | undefined {
    let best: { shard: number; rank: number } | undefined;
    for (const [shard, held] of this.holders.entries()) {
      if (!held.includes(from) || !this.mayReplace(from, to, shard)) continue;
      const rank = (this.proposed[shard] ?? []).indexOf(to);
      if (best === undefined || rank < best.rank) best = { shard, rank };
    }
    return best?.shard;
  }

  private mayHold(node: string, shard: number): boolean {
    const held = this.held(shard);
    return !held.includes(node) && (!this.zonesSuffice || held.every((other) => this.zone(other) !== this.zone(node)));
  }

  private mayReplace(from: string, to: string, shard: number): boolean {
    const others = this.held(shard).filter((node) => node !== from);
    return !others.includes(to) && (!this.zonesSuffice || others.every((other) => this.zone(other) !== this.zone(to)));
  }

  private emptiest(nodes: readonly string[]): string | undefined {
    return nodes.reduce<string | undefined>(
      (best, node) => (best === undefined || this.fillOf(node) < this.fillOf(best) ? node : best),
      undefined,
    );
  }

  private add(node: string, shard: number): void {
    this.held(shard).push(node);
    this.load.set(node, this.loadOf(node) + 1);
  }

  private remove(node: string, shard: number): void {
    const held = this.held(shard);
    held.splice(held.indexOf(node), 1);
    this.load.set(node, this.loadOf(node) - 1);
  }

  private held(shard: number): string[] {
    return this.holders[shard] ?? [];
  }

  private loadOf(node: string): number {
    return this.load.get(node) ?? 0;
  }

  /** Load relative to the fair share. */
  private fillOf(node: string): number {
    return this.loadOf(node) / this.boundsOf(node).share;
  }

  private boundsOf(node: string): LoadBounds {
    const bounds = this.bounds.get(node);
    invariant(bounds !== undefined, 'placement-names-known-nodes', () => node);
    return bounds;
  }

  private zone(node: string): string {
    const known = this.nodes.get(node);
    invariant(known !== undefined, 'placement-names-known-nodes', () => node);
    return zoneOf(known);
  }
}

function leaderFirst(holders: readonly string[], leader: string | undefined): string[] {
  return [...holders.filter((node) => node === leader), ...holders.filter((node) => node !== leader)];
}

/** Pairs each replica that goes with one that comes. */
function movesOf(shard: number, before: readonly string[], after: readonly string[]): Move[] {
  const gone = before.filter((node) => !after.includes(node));
  const come = after.filter((node) => !before.includes(node));
  return come.map((to, index) => ({ shard, from: gone[index], to }));
}
