import { invariant } from '@synod/invariant';
import { murmur3 } from './murmur3';

/** A process that can hold replicas. */
export interface RingNode {
  readonly id: string;
  /** Share of the load relative to the others; 1 by default. */
  readonly weight?: number;
  /** Failure domain; a node without one is a zone of its own. */
  readonly zone?: string;
}

/** The ring holds fewer distinct nodes than replicas were asked for. */
export class NotEnoughNodesError extends Error {
  constructor(
    readonly wanted: number,
    readonly present: number,
  ) {
    super(`${wanted} distinct nodes are wanted, the ring holds ${present}`);
    this.name = 'NotEnoughNodesError';
  }
}

/** Positions per node of weight 1: the busiest of ten nodes then owns about 10 % more than its share; the bound on load does the rest. */
export const VNODES_PER_WEIGHT = 256;

/** Another seed than the slots' hash: a shard's token shall not follow from its slots. */
const TOKEN_SEED = 0x53796e6f;

interface Vnode {
  readonly token: number;
  readonly node: RingNode;
}

/**
 * The consistent-hash ring (Karger et al., "Consistent Hashing and Random Trees", STOC 1997): every node stands at many positions, a
 * shard belongs to the nodes met clockwise from its own. When a node comes or goes, only what it owns changes hands.
 * Immutable, and the same on every machine that knows the same nodes.
 * Differs from the paper: it places shards, not keys, and is consulted by the planner only; a key finds its shard by its slot.
 */
export class Ring {
  private readonly vnodes: readonly Vnode[];

  /** @param nodes in any order, ids distinct, weights above 0 */
  constructor(readonly nodes: readonly RingNode[]) {
    const ids = new Set(nodes.map((node) => node.id));
    invariant(ids.size === nodes.length, 'ring-nodes-are-distinct');
    invariant(
      nodes.every((node) => weightOf(node) > 0),
      'ring-weights-are-positive',
    );
    this.vnodes = nodes.flatMap(vnodesOf).sort(compareVnodes);
  }

  with(node: RingNode): Ring {
    return new Ring([...this.nodes, node]);
  }

  without(id: string): Ring {
    return new Ring(this.nodes.filter((node) => node.id !== id));
  }

  /**
   * The nodes that hold a shard, owner first: walks clockwise from the shard's token, skipping further vnodes of a node already taken
   * (DeCandia et al., "Dynamo", SOSP 2007, §4.3), and nodes of a zone already taken while other zones are left.
   * @param replicas how many nodes to return, ≥ 1
   * @returns exactly `replicas` distinct nodes
   * @throws {NotEnoughNodesError} if the ring holds fewer
   */
  replicasOf(shard: number, replicas: number): string[] {
    if (this.nodes.length < replicas) throw new NotEnoughNodesError(replicas, this.nodes.length);
    const order = this.walk(tokenOfShard(shard));
    const taken: RingNode[] = [];
    while (taken.length < replicas) {
      const zones = new Set(taken.map(zoneOf));
      const left = order.filter((node) => !taken.includes(node));
      const next = left.find((node) => !zones.has(zoneOf(node))) ?? left[0];
      invariant(next !== undefined, 'replicas-are-distinct-nodes');
      taken.push(next);
    }
    return taken.map((node) => node.id);
  }

  /** Every node once, in the order of their first position clockwise from `token`. */
  walk(token: number): RingNode[] {
    const start = this.firstAtOrAfter(token);
    const seen = new Set<RingNode>();
    for (let step = 0; step < this.vnodes.length && seen.size < this.nodes.length; step++) {
      const vnode = this.vnodes[(start + step) % this.vnodes.length];
      if (vnode !== undefined) seen.add(vnode.node);
    }
    return [...seen];
  }

  private firstAtOrAfter(token: number): number {
    let low = 0;
    let high = this.vnodes.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.vnodes[middle]?.token ?? Infinity) < token) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** A shard's own position on the ring. */
export function tokenOfShard(shard: number): number {
  return tokenOf(`shard/${shard}`);
}

export function weightOf(node: RingNode): number {
  return node.weight ?? 1;
}

export function zoneOf(node: RingNode): string {
  return node.zone ?? `node/${node.id}`;
}

function vnodesOf(node: RingNode): Vnode[] {
  const count = Math.max(1, Math.round(VNODES_PER_WEIGHT * weightOf(node)));
  return Array.from({ length: count }, (_, index) => ({ token: tokenOf(`node/${node.id}/${index}`), node }));
}

/** Two nodes may meet at one token: their ids decide, so that the order in which nodes were named does not. */
function compareVnodes(a: Vnode, b: Vnode): number {
  return a.token - b.token || (a.node.id < b.node.id ? -1 : 1);
}

function tokenOf(name: string): number {
  return murmur3(new TextEncoder().encode(name), TOKEN_SEED);
}
