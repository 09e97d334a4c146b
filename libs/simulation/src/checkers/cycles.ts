import { EDGE, type DependencyGraph, type EdgeName, type Step } from './dependency-graph';
import type { Operation } from './history';
import type { Anomaly } from './verdict';

const { ww, wr, rw, process, realtime } = EDGE;

/** Kinds of cycles from the worst to the mildest, as Adya and Elle name them; `one`: exactly one anti-dependency. */
const KINDS = [
  { name: 'G0', mask: ww, one: false },
  { name: 'G1c', mask: ww | wr, one: false },
  { name: 'G-single', mask: ww | wr, one: true },
  { name: 'G2', mask: ww | wr | rw, one: false },
] as const;

/** Without time first: a cycle of data alone needs no appeal to clocks. */
const TIMES = [
  { suffix: '', mask: 0 },
  { suffix: '-process', mask: process },
  { suffix: '-realtime', mask: process | realtime },
] as const;

/** Cycles start the search at no more nodes of a component than this: any one cycle convicts, a short one reads better. */
const STARTS_MAX = 64;

/**
 * Orders that contradict themselves: for each strongly connected component the worst kind of cycle in it, and a short one of it.
 * @param nodes the operation of each node; nodes beyond them are barriers
 */
export function findCycles(graph: DependencyGraph, nodes: readonly Operation<unknown, unknown>[]): Anomaly[] {
  const anomalies: Anomaly[] = [];
  const explained = new Set<number>();
  if (graph.components(~0).length === 0) return anomalies;
  for (const time of TIMES) {
    for (const kind of KINDS) {
      const mask = kind.mask | time.mask;
      for (const members of graph.components(kind.one ? mask | rw : mask)) {
        if (members.some((member) => explained.has(member))) continue;
        const inside = new Set(members);
        const cycle = kind.one ? singleCycle(graph, inside, mask) : anyCycle(graph, inside, mask);
        if (cycle === undefined) continue;
        for (const { from } of cycle) if (from < nodes.length) explained.add(from);
        anomalies.push(anomalyOf(`${kind.name}${time.suffix}`, cycle, nodes));
      }
    }
  }
  return anomalies;
}

function anyCycle(graph: DependencyGraph, inside: ReadonlySet<number>, mask: number): Step[] | undefined {
  let shortest: Step[] | undefined;
  for (const start of [...inside].slice(0, STARTS_MAX)) {
    const cycle = graph.path(start, start, inside, mask);
    if (cycle !== undefined && (shortest === undefined || cycle.length < shortest.length)) shortest = cycle;
  }
  return shortest;
}

/** One anti-dependency, and a way back without any. */
function singleCycle(graph: DependencyGraph, inside: ReadonlySet<number>, mask: number): Step[] | undefined {
  let shortest: Step[] | undefined;
  for (const from of inside) {
    graph.edges(from, rw, (to, edge) => {
      if (!inside.has(to) || shortest?.length === 2) return;
      const back = graph.path(to, from, inside, mask);
      if (back === undefined || (shortest !== undefined && back.length + 1 >= shortest.length)) return;
      shortest = [{ from, to, edge }, ...back];
    });
  }
  return shortest;
}

function anomalyOf(name: string, cycle: readonly Step[], nodes: readonly Operation<unknown, unknown>[]): Anomaly {
  const real = cycle.filter(({ from }) => from < nodes.length);
  const operations = real.map(({ from }) => nodes[from] as Operation<unknown, unknown>);
  const arrows = real.map(({ from, edge }) => `T${nodes[from]?.index} -${nameOf(edge)}->`);
  return { name, detail: `${arrows.join(' ')} T${operations[0]?.index}`, operations };
}

function nameOf(edge: number): string {
  return (Object.keys(EDGE) as EdgeName[]).filter((name) => (EDGE[name] & edge) !== 0).join('+');
}
