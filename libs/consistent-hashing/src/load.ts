import { weightOf, type RingNode } from './ring';

/** How many replicas each node should hold, and may. */
export interface LoadBounds {
  /** Its fair share by weight, not rounded. */
  readonly share: number;
  /** Invariant `no-node-above-cap`: `ceil((1 + slack) · share)` (Mirrokni, Thorup & Zadimoghaddam, "Consistent Hashing with Bounded Loads", SODA 2018). */
  readonly cap: number;
  /** `floor((1 − slack) · share)`: below it a node is given work, so that one that joined does not stay idle. */
  readonly floor: number;
}

/**
 * Bounds of all nodes. A node holds at most one replica of a shard, so a share above `shardCount` is cut down to that and the others
 * take what is left.
 * @param slack how far from its share a node may be, e.g. 0.05
 */
export function loadBounds(
  nodes: readonly RingNode[],
  shardCount: number,
  replicas: number,
  slack: number,
): Map<string, LoadBounds> {
  const shares = new Map<string, number>();
  let open = [...nodes];
  let left = shardCount * replicas;
  while (open.length > 0) {
    const weight = open.reduce((sum, node) => sum + weightOf(node), 0);
    const share = (node: RingNode): number => (left * weightOf(node)) / weight;
    const full = open.filter((node) => share(node) >= shardCount);
    if (full.length === 0) {
      for (const node of open) shares.set(node.id, share(node));
      break;
    }
    for (const node of full) shares.set(node.id, shardCount);
    left -= shardCount * full.length;
    open = open.filter((node) => !full.includes(node));
  }
  return new Map([...shares].map(([id, share]) => [id, boundsOf(share, shardCount, slack)]));
}

function boundsOf(share: number, shardCount: number, slack: number): LoadBounds {
  return {
    share,
    cap: Math.min(shardCount, Math.ceil((1 + slack) * share)),
    floor: Math.floor((1 - slack) * share),
  };
}
