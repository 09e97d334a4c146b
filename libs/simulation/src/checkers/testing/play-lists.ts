import { Draws } from '../../draw';
import type { Outcome } from '../history';
import type { ListOperation, ListStep } from '../list-history';

export type ListDefect =
  /** A transaction reads everything as it was some transactions before it began. */
  | 'stale-snapshot'
  /** One read of a transaction misses the last append, the others do not. */
  | 'fractured-read'
  /** An acknowledged transaction's appends are gone. */
  | 'dropped-append'
  /** The same append twice, as after a retry. */
  | 'doubled-append'
  /** Two appends in another order for one reader. */
  | 'swapped-appends'
  /** An append of an aborted transaction is seen. */
  | 'aborted-append';

export interface PlayListOptions {
  readonly seed: number;
  readonly clients: number;
  readonly operations: number;
  /** Planted once, somewhere in the second half. */
  readonly defect?: ListDefect;
}

const KEYS = ['k0', 'k1', 'k2', 'k3'];
type Lists = ReadonlyMap<string, readonly number[]>;

/** Plays clients against true lists: each transaction takes effect at one instant between its call and its return. */
export function playLists({ seed, clients, operations, defect }: PlayListOptions): ListOperation[] {
  const draws = new Draws(seed, 'play', 'lists');
  const spans = spansOf(draws, clients, operations);
  const pasts: Lists[] = [new Map()];
  const history: ListOperation[] = [];
  let doomed: { readonly key: string; readonly value: number } | undefined;
  let planted = defect === undefined;
  for (const span of spans.sort((a, b) => a.effectAt - b.effectAt)) {
    const now = pasts.at(-1) as Lists;
    const late = history.length > operations / 2;
    const fate = draws.below(20);
    const plant = late && !planted && fate > 1 ? defect : undefined;
    const wanted = stepsWanted(draws, span.index, plant !== undefined);
    const seen = plant === 'stale-snapshot' ? (pasts[pasts.length - clients - 8] as Lists) : now;
    let { steps, lists } = execute(wanted, seen, now);
    if (plant === 'stale-snapshot')
      planted = steps.some((step) => step.f === 'read' && (lists.get(step.key)?.length ?? 0) > step.list.length + 1);
    else if (plant === 'dropped-append') {
      lists = now;
      planted = true;
    } else if (plant === 'doubled-append') {
      const { key, value } = steps.find((step) => step.f === 'append') as {
        readonly key: string;
        readonly value: number;
      };
      lists = new Map(lists).set(key, [...(lists.get(key) ?? []), value]);
      planted = true;
    } else if (plant === 'aborted-append' && doomed !== undefined) {
      lists = new Map(lists).set(doomed.key, [...(lists.get(doomed.key) ?? []), doomed.value]);
      planted = true;
    } else if (plant === 'fractured-read' || plant === 'swapped-appends') {
      const changed = plant === 'swapped-appends' ? swapped(steps) : fractured(steps);
      planted = changed !== undefined;
      steps = changed ?? steps;
    }
    // One in twenty aborts, one in twenty never gets its answer; of those half happened.
    const outcome: Outcome<readonly ListStep[]> =
      fate === 0
        ? { type: 'fail', at: span.returnAt, output: wanted }
        : fate === 1
          ? { type: 'info', at: span.returnAt, output: wanted }
          : { type: 'ok', at: span.returnAt, output: steps };
    if (fate > 1 || (fate === 1 && draws.chance(1, 2))) pasts.push(lists);
    if (fate === 0) doomed ??= wanted.find((step) => step.f === 'append');
    history.push({ index: span.index, process: `c${span.index}`, invokedAt: span.callAt, input: undefined, outcome });
  }
  if (!planted) throw new Error(`seed ${seed} has no place for a ${defect}`);
  return [
    ...history,
    ...finalReads(pasts.at(-1) as Lists, operations, Math.max(...spans.map((span) => span.returnAt))),
  ];
}

function spansOf(
  draws: Draws,
  clients: number,
  operations: number,
): { index: number; callAt: number; effectAt: number; returnAt: number }[] {
  const freeAt = Array.from({ length: clients }, () => 0);
  return Array.from({ length: operations }, (_, index) => {
    const client = freeAt.indexOf(Math.min(...freeAt));
    const callAt = (freeAt[client] ?? 0) + 1 + draws.below(20);
    const effectAt = callAt + draws.below(50) + index / operations / 2;
    const returnAt = Math.ceil(effectAt) + draws.below(50);
    freeAt[client] = returnAt;
    return { index, callAt, effectAt, returnAt };
  });
}

/** Up to four steps; with lists still to be read, those of reads are empty. */
function stepsWanted(draws: Draws, index: number, all: boolean): ListStep[] {
  if (all) {
    const reads = KEYS.map((key): ListStep => ({ f: 'read', key, list: [] }));
    return [...reads, { f: 'append', key: draws.pick(KEYS), value: index * 10 }];
  }
  return Array.from({ length: draws.between(1, 4) }, (_, step): ListStep => {
    const key = draws.pick(KEYS);
    return draws.chance(1, 2) ? { f: 'read', key, list: [] } : { f: 'append', key, value: index * 10 + step };
  });
}

/** Reads from one state, appends to another; the same in a true execution. */
function execute(wanted: readonly ListStep[], seen: Lists, now: Lists): { steps: ListStep[]; lists: Lists } {
  const lists = new Map(now);
  const own = new Map<string, number[]>();
  const steps = wanted.map((step): ListStep => {
    const { key } = step;
    if (step.f === 'read') return { ...step, list: [...(seen.get(key) ?? []), ...(own.get(key) ?? [])] };
    own.set(key, [...(own.get(key) ?? []), step.value]);
    lists.set(key, [...(lists.get(key) ?? []), step.value]);
    return step;
  });
  return { steps, lists };
}

/** The last two elements of some read change places. */
function swapped(steps: readonly ListStep[]): ListStep[] | undefined {
  const victim = steps.findIndex((step) => step.f === 'read' && step.list.length >= 2);
  return victim === -1
    ? undefined
    : steps.map((step, index) => {
        if (index !== victim || step.f !== 'read') return step;
        return { ...step, list: [...step.list.slice(0, -2), ...step.list.slice(-2).reverse()] };
      });
}

/** Some read lost its last element although another key's element of the same writer, or a later one, was read. */
function fractured(steps: readonly ListStep[]): ListStep[] | undefined {
  const lastOf = (step: ListStep): number => (step.f === 'read' ? (step.list.at(-1) ?? -1) : -1);
  const victim = steps.findIndex((step) => {
    return (
      lastOf(step) >= 0 &&
      steps.some((other) => other !== step && Math.floor(lastOf(other) / 10) === Math.floor(lastOf(step) / 10))
    );
  });
  if (victim === -1) return undefined;
  return steps.map((step, index) =>
    index === victim && step.f === 'read' ? { ...step, list: step.list.slice(0, -1) } : step,
  );
}

/** Without a look at the end, whatever is lost from the tails goes unseen. */
function finalReads(lists: Lists, index: number, after: number): ListOperation[] {
  const output = KEYS.map((key): ListStep => ({ f: 'read', key, list: lists.get(key) ?? [] }));
  return [
    { index, process: 'final', invokedAt: after + 1, input: undefined, outcome: { type: 'ok', at: after + 2, output } },
  ];
}
