/** Shard moves of leadership along a chain of nodes: each hands one shard to the next. */
type Handover = { readonly shard: number; readonly to: string };

/**
 * Chooses a leader for each shard among its replicas so that all nodes lead about equally many. Invariant `leaders-are-spread`: no
 * leadership could be handed over, directly or along a chain of nodes, to even things out further. Keeps `present` leaders where that allows.
 * @param replicas by shard; each not empty
 * @param present by shard; one that is no replica any more is ignored
 * @returns by shard
 */
export function spreadLeaders(
  replicas: readonly (readonly string[])[],
  present: readonly (string | undefined)[] = [],
): string[] {
  const leaders = replicas.map((nodes, shard) => {
    const leader = present[shard];
    return leader !== undefined && nodes.includes(leader) ? leader : (nodes[0] as string);
  });
  for (let chain = findChain(replicas, leaders); chain !== undefined; chain = findChain(replicas, leaders)) {
    for (const { shard, to } of chain) leaders[shard] = to;
  }
  return leaders;
}

/** A chain from a node to one that leads at least two shards fewer, the busiest first; undefined if the leaders are spread. */
function findChain(replicas: readonly (readonly string[])[], leaders: readonly string[]): Handover[] | undefined {
  const led = new Map<string, number>();
  for (const node of new Set(replicas.flat())) led.set(node, 0);
  for (const leader of leaders) led.set(leader, (led.get(leader) ?? 0) + 1);
  const edges = handoversByNode(replicas, leaders);
  for (const [start, count] of [...led].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))) {
    const chain = shortestChain(start, edges, (node) => (led.get(node) ?? 0) <= count - 2);
    if (chain !== undefined) return chain;
  }
  return undefined;
}

/** For each leader, to whom it could hand over, and one shard for each. */
function handoversByNode(
  replicas: readonly (readonly string[])[],
  leaders: readonly string[],
): Map<string, Map<string, number>> {
  const edges = new Map<string, Map<string, number>>();
  leaders.forEach((leader, shard) => {
    const targets = edges.get(leader) ?? new Map<string, number>();
    edges.set(leader, targets);
    for (const node of replicas[shard] ?? []) {
      if (node !== leader && !targets.has(node)) targets.set(node, shard);
    }
  });
  return edges;
}

/** Breadth-first, so that no more leaders move than needed. */
function shortestChain(
  start: string,
  edges: ReadonlyMap<string, ReadonlyMap<string, number>>,
  isGoal: (node: string) => boolean,
): Handover[] | undefined {
  const reached = new Map<string, readonly Handover[]>([[start, []]]);
  // A Map is walked in the order of insertion, including what is inserted meanwhile: it is its own queue.
  for (const [node, chain] of reached) {
    if (isGoal(node)) return [...chain];
    for (const [to, shard] of edges.get(node) ?? []) {
      if (!reached.has(to)) reached.set(to, [...chain, { shard, to }]);
    }
  }
  return undefined;
}
