import { findCycles } from './cycles';
import { DependencyGraph, EDGE } from './dependency-graph';
import { externalReads, type ListOperation } from './list-history';
import { appendsOf, directAnomalies, type Append } from './list-reads';
import { addTimeEdges } from './time-edges';
import { verdictOf, type Verdict } from './verdict';

/**
 * Whether transactions that append to lists and read them are strictly serializable (Kingsbury & Alvaro, "Elle: Inferring Isolation
 * Anomalies from Experimental Observations", VLDB 2020). A list that was read shows the order in which it was written, so the order
 * of versions is known, and with it who must come before whom; a cycle is a proof that no order exists.
 */
export function checkListAppend(operations: readonly ListOperation[]): Verdict {
  const appends = appendsOf(operations);
  const { anomalies, lists } = directAnomalies(operations, appends);
  const observed = new Set([...lists].flatMap(([key, list]) => list.map((value) => appends.of(key, value)?.operation)));
  // Who committed: told so, or unknown but seen. Nothing is known of the rest.
  const nodes = operations.filter(
    (operation) => operation.outcome.type === 'ok' || (operation.outcome.type === 'info' && observed.has(operation)),
  );
  const graph = new DependencyGraph(nodes.length);
  addDataEdges(graph, nodes, appends.all, lists);
  addTimeEdges(graph, nodes);
  return verdictOf([...anomalies, ...findCycles(graph, nodes)]);
}

/** What the versions say: ww, wr and rw edges, key by key. */
function addDataEdges(
  graph: DependencyGraph,
  nodes: readonly ListOperation[],
  appends: readonly Append[],
  lists: ReadonlyMap<string, readonly number[]>,
): void {
  const nodeOf = new Map(nodes.map((operation, node) => [operation, node]));
  const writers = new Map<string, Map<number, number>>();
  for (const { key, value, operation } of appends) {
    const node = nodeOf.get(operation);
    if (node === undefined) continue;
    const ofKey = writers.get(key) ?? new Map<number, number>();
    writers.set(key, ofKey.set(value, node));
  }
  // Committed but read by nobody: such appends come somewhere after the end of the longest list that was read.
  const unread = new Map<string, number[]>();
  for (const [key, ofKey] of writers) {
    const seen = new Set(lists.get(key));
    unread.set(
      key,
      [...ofKey].filter(([value]) => !seen.has(value)).map(([, node]) => node),
    );
    let before: number | undefined;
    for (const value of lists.get(key) ?? []) {
      const node = ofKey.get(value);
      if (node !== undefined && before !== undefined) graph.addEdge(before, node, EDGE.ww);
      before = node ?? before;
    }
    if (before !== undefined) for (const node of unread.get(key) ?? []) graph.addEdge(before, node, EDGE.ww);
  }
  for (const [node, operation] of nodes.entries()) {
    if (operation.outcome.type !== 'ok') continue;
    for (const { key, list } of externalReads(operation.outcome.output)) {
      const ofKey = writers.get(key);
      const last = list.at(-1);
      const writer = last === undefined ? undefined : ofKey?.get(last);
      if (writer !== undefined) graph.addEdge(writer, node, EDGE.wr);
      const next = lists.get(key)?.[list.length];
      const overwriters = next === undefined ? (unread.get(key) ?? []) : [ofKey?.get(next)];
      for (const overwriter of overwriters) if (overwriter !== undefined) graph.addEdge(node, overwriter, EDGE.rw);
    }
  }
}
