/** Why one transaction must come before another (Adya, "Weak Consistency", 1999), a bit each. */
export const EDGE = {
  /** Wrote the version before the other's. */
  ww: 1,
  /** Wrote what the other read. */
  wr: 2,
  /** Read what the other overwrote: an anti-dependency. */
  rw: 4,
  /** Was issued before it by the same process. */
  process: 8,
  /** Had ended before it began. */
  realtime: 16,
} as const;

export type EdgeName = keyof typeof EDGE;

/** One step of a cycle. */
export interface Step {
  readonly from: number;
  readonly to: number;
  readonly edge: number;
}

/** A directed graph over the numbers `[0, size)`, with several kinds of edges. */
export class DependencyGraph {
  private readonly targets: number[][] = [];
  private readonly kinds: number[][] = [];

  constructor(size: number) {
    for (let node = 0; node < size; node++) this.addNode();
  }

  get size(): number {
    return this.targets.length;
  }

  addNode(): number {
    this.kinds.push([]);
    return this.targets.push([]) - 1;
  }

  addEdge(from: number, to: number, kind: number): void {
    if (from === to) return;
    this.targets[from]?.push(to);
    this.kinds[from]?.push(kind);
  }

  /** Calls `visit` for each edge out of a node whose kind is in the mask. */
  edges(from: number, mask: number, visit: (to: number, kind: number) => void): void {
    const [targets, kinds] = [this.targets[from] ?? [], this.kinds[from] ?? []];
    for (let index = 0; index < targets.length; index++) {
      const kind = kinds[index] as number;
      if ((kind & mask) !== 0) visit(targets[index] as number, kind);
    }
  }

  /** The strongly connected components of two nodes or more, over the edges in the mask (Tarjan 1972, without recursion). */
  components(mask: number): number[][] {
    const found: number[][] = [];
    const order = new Int32Array(this.size).fill(-1);
    const low = new Int32Array(this.size);
    const onStack = new Uint8Array(this.size);
    const stack: number[] = [];
    let count = 0;
    for (let root = 0; root < this.size; root++) {
      if (order[root] !== -1) continue;
      const path: { readonly node: number; next: number }[] = [];
      const enter = (node: number): void => {
        order[node] = low[node] = count++;
        stack.push(node);
        onStack[node] = 1;
        path.push({ node, next: 0 });
      };
      enter(root);
      for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
        const { node } = top;
        const to = this.targets[node]?.[top.next];
        if (to !== undefined) {
          const kind = this.kinds[node]?.[top.next] as number;
          top.next++;
          if ((kind & mask) === 0) continue;
          if (order[to] === -1) enter(to);
          else if (onStack[to] === 1) low[node] = Math.min(low[node] as number, order[to] as number);
          continue;
        }
        path.pop();
        const above = path.at(-1);
        if (above !== undefined) low[above.node] = Math.min(low[above.node] as number, low[node] as number);
        if (low[node] !== order[node]) continue;
        const members = stack.splice(stack.lastIndexOf(node));
        for (const member of members) onStack[member] = 0;
        if (members.length > 1) found.push(members);
      }
    }
    return found;
  }

  /** A shortest path between two nodes inside a set, over the edges in the mask; breadth-first. */
  path(from: number, to: number, inside: ReadonlySet<number>, mask: number): Step[] | undefined {
    const cameBy = new Map<number, Step>();
    let frontier = [from];
    while (frontier.length > 0) {
      const next: number[] = [];
      for (const node of frontier) {
        this.edges(node, mask, (target, edge) => {
          if (!inside.has(target) || cameBy.has(target)) return;
          cameBy.set(target, { from: node, to: target, edge });
          next.push(target);
        });
      }
      if (cameBy.has(to)) return walkBack(from, to, cameBy);
      frontier = next;
    }
    return undefined;
  }
}

function walkBack(from: number, to: number, cameBy: ReadonlyMap<number, Step>): Step[] {
  const steps: Step[] = [];
  let at = to;
  do {
    const step = cameBy.get(at) as Step;
    steps.push(step);
    at = step.from;
  } while (at !== from);
  return steps.reverse();
}
