import { EDGE, type DependencyGraph } from './dependency-graph';
import { endOf, type Operation } from './history';

/**
 * Adds what the clients' own time says about the order of transactions: those of one process one after the other, and whatever had
 * ended before another began. A chain of barrier nodes stands in for the second: each run of ends meets in one, each begin comes from
 * the last. That is at most three edges a transaction, where pairwise edges would be quadratic.
 * @param nodes the operation of each node; ends of unknown ones never come
 */
export function addTimeEdges(graph: DependencyGraph, nodes: readonly Operation<unknown, unknown>[]): void {
  const lastOf = new Map<string, number>();
  const moments = nodes.flatMap((operation, node) => [
    { at: operation.invokedAt, node, ends: false },
    { at: endOf(operation), node, ends: true },
  ]);
  // At equal times begins come first: transactions that touch are concurrent.
  moments.sort((a, b) => a.at - b.at || Number(a.ends) - Number(b.ends) || a.node - b.node);
  let barrier: number | undefined;
  let ended: number[] = [];
  for (const { at, node, ends } of moments) {
    if (at === Infinity) break;
    if (ends) {
      ended.push(node);
      continue;
    }
    if (ended.length > 0) {
      const next = graph.addNode();
      if (barrier !== undefined) graph.addEdge(barrier, next, EDGE.realtime);
      for (const before of ended) graph.addEdge(before, next, EDGE.realtime);
      barrier = next;
      ended = [];
    }
    if (barrier !== undefined) graph.addEdge(barrier, node, EDGE.realtime);
    const process = nodes[node]?.process ?? '';
    const before = lastOf.get(process);
    if (before !== undefined) graph.addEdge(before, node, EDGE.process);
    lastOf.set(process, node);
  }
}
