import { endOf } from './history';
import { externalReads, type ListOperation } from './list-history';
import type { Anomaly } from './verdict';

/** One append that a transaction made or tried. */
export interface Append {
  readonly key: string;
  readonly value: number;
  readonly operation: ListOperation;
  /** The transaction's append to this key just before this one; others see the two side by side. */
  readonly previous: number | undefined;
  /** The transaction's last append to this key: the only one that others may see at the end of a list. */
  readonly last: boolean;
}

/** All appends of a history, committed or not. */
export interface Appends {
  readonly all: readonly Append[];
  of(key: string, value: number): Append | undefined;
}

export function appendsOf(operations: readonly ListOperation[]): Appends {
  const byKey = new Map<string, Map<number, Append>>();
  const all: Append[] = [];
  for (const operation of operations) {
    const steps = operation.outcome.output ?? [];
    for (const [index, step] of steps.entries()) {
      if (step.f !== 'append') continue;
      const { key, value } = step;
      const last = !steps.slice(index + 1).some((later) => later.f === 'append' && later.key === key);
      const previous = steps.slice(0, index).findLast((earlier) => earlier.f === 'append' && earlier.key === key);
      const append = { key, value, operation, last, previous: previous?.f === 'append' ? previous.value : undefined };
      const ofKey = byKey.get(key) ?? new Map<number, Append>();
      if (ofKey.has(value)) throw new Error(`the workload appends ${value} to ${key} twice; values must be unique`);
      byKey.set(key, ofKey.set(value, append));
      all.push(append);
    }
  }
  return { all, of: (key, value) => byKey.get(key)?.get(value) };
}

/** What single reads convict without any cycle, and the longest list that was read of each key. */
export function directAnomalies(
  operations: readonly ListOperation[],
  appends: Appends,
): { readonly anomalies: readonly Anomaly[]; readonly lists: ReadonlyMap<string, readonly number[]> } {
  const anomalies: Anomaly[] = [];
  const longest = new Map<string, { readonly list: readonly number[]; readonly by: ListOperation }>();
  const lastReader = new Map<string, ListOperation>();
  for (const operation of operations) {
    if (operation.outcome.type !== 'ok') continue;
    anomalies.push(...internal(operation));
    for (const { key, list } of externalReads(operation.outcome.output)) {
      anomalies.push(...strangeElements(operation, key, list, appends));
      const best = longest.get(key);
      if (best === undefined) longest.set(key, { list, by: operation });
      else {
        const [short, long] = list.length <= best.list.length ? [list, best.list] : [best.list, list];
        if (!short.every((value, index) => value === long[index])) {
          const detail = `reads of ${key} do not extend each other: [${short.join(' ')}] and [${long.join(' ')}]`;
          anomalies.push({ name: 'incompatible-order', detail, operations: [best.by, operation] });
        }
        if (list.length > best.list.length) longest.set(key, { list, by: operation });
      }
      const reader = lastReader.get(key);
      if (reader === undefined || operation.invokedAt > reader.invokedAt) lastReader.set(key, operation);
    }
  }
  const lists = new Map([...longest].map(([key, { list }]) => [key, list]));
  anomalies.push(...lostAppends(appends, lists, lastReader));
  return { anomalies, lists };
}

/** A transaction must see its own appends, and what it saw before. */
function internal(operation: ListOperation): Anomaly[] {
  const anomalies: Anomaly[] = [];
  const known = new Map<string, { readonly whole: boolean; readonly list: readonly number[] }>();
  for (const step of operation.outcome.output ?? []) {
    const { whole, list } = known.get(step.key) ?? { whole: false, list: [] };
    if (step.f === 'append') {
      known.set(step.key, { whole, list: [...list, step.value] });
      continue;
    }
    const tail = whole ? step.list : step.list.slice(step.list.length - list.length);
    if (tail.length !== list.length || !tail.every((value, index) => value === list[index])) {
      const expected = `${whole ? '' : '… '}${list.join(' ')}`;
      const detail = `in one transaction ${step.key} should be [${expected}] and was read as [${step.list.join(' ')}]`;
      anomalies.push({ name: 'internal', detail, operations: [operation] });
    }
    known.set(step.key, { whole: true, list: step.list });
  }
  return anomalies;
}

function strangeElements(operation: ListOperation, key: string, list: readonly number[], appends: Appends): Anomaly[] {
  const anomalies: Anomaly[] = [];
  const report = (name: string, value: number, what: string, other: ListOperation | undefined): void => {
    const detail = `a read of ${key} shows ${value}, ${what}`;
    anomalies.push({ name, detail, operations: other === undefined ? [operation] : [operation, other] });
  };
  const seen = new Set<number>();
  for (const [index, value] of list.entries()) {
    const append = appends.of(key, value);
    if (append === undefined) report('phantom', value, 'which nobody appended', undefined);
    else if (append.operation.outcome.type === 'fail') report('G1a', value, 'which was aborted', append.operation);
    else if (append.operation === operation) report('internal', value, 'which it appended only afterwards', undefined);
    if (seen.has(value)) report('duplicate-append', value, 'twice', append?.operation);
    seen.add(value);
    if (append?.previous !== undefined && list[index - 1] !== append.previous) {
      report('torn-appends', value, `not right after its writer's ${append.previous}`, append.operation);
    }
  }
  const last = list.at(-1);
  const append = last === undefined ? undefined : appends.of(key, last);
  if (last !== undefined && append !== undefined && !append.last) {
    report('G1b', last, 'which its writer had not finished with', append.operation);
  }
  return anomalies;
}

/** Acknowledged, and seen by nobody although somebody looked afterwards. */
function lostAppends(
  appends: Appends,
  lists: ReadonlyMap<string, readonly number[]>,
  lastReader: ReadonlyMap<string, ListOperation>,
): Anomaly[] {
  const seen = new Map([...lists].map(([key, list]) => [key, new Set(list)]));
  return appends.all.flatMap(({ key, value, operation }) => {
    const reader = lastReader.get(key);
    if (operation.outcome.type !== 'ok' || reader === undefined || seen.get(key)?.has(value) === true) return [];
    if (endOf(operation) >= reader.invokedAt) return [];
    const detail = `${value} was appended to ${key}, and nobody ever read it, though ${reader.process} looked later`;
    return [{ name: 'lost-append', detail, operations: [operation, reader] }];
  });
}
