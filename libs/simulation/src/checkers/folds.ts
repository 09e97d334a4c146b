import { endOf, type Operation } from './history';
import { verdictOf, type Anomaly, type Verdict } from './verdict';

/** A read of all accounts at once, in one transaction; transfers are not looked at. */
export type BankOperation = Operation<unknown, { readonly balances?: ReadonlyMap<string, number> | undefined }>;

/** Transfers move money and neither make nor destroy it: every complete read has the same sum, and nobody owes anything. */
export function checkBank(operations: readonly BankOperation[], total: number): Verdict {
  const anomalies: Anomaly[] = [];
  for (const operation of operations) {
    if (operation.outcome.type !== 'ok' || operation.outcome.output.balances === undefined) continue;
    const { balances } = operation.outcome.output;
    const sum = [...balances.values()].reduce((before, balance) => before + balance, 0);
    if (sum !== total)
      anomalies.push({ name: 'bank-total', detail: `${sum} instead of ${total}`, operations: [operation] });
    const owing = [...balances].find(([, balance]) => balance < 0);
    if (owing !== undefined) {
      anomalies.push({ name: 'bank-negative', detail: `${owing[0]} has ${owing[1]}`, operations: [operation] });
    }
  }
  return verdictOf(anomalies);
}

export type SetInput = { readonly f: 'add'; readonly element: string } | { readonly f: 'read' };
export type SetOperation = Operation<SetInput, { readonly elements?: readonly string[] | undefined }>;

/** A set that only grows: what was acknowledged is there from then on, what was refused never, and what was once seen stays. */
export function checkGrowingSet(operations: readonly SetOperation[]): Verdict {
  const anomalies: Anomaly[] = [];
  const adds = new Map<string, SetOperation>();
  for (const operation of operations) if (operation.input.f === 'add') adds.set(operation.input.element, operation);
  /** Since when an element must be seen, and who says so. */
  const due = new Map<string, { readonly since: number; readonly by: SetOperation }>();
  for (const [element, add] of adds)
    if (add.outcome.type === 'ok') due.set(element, { since: add.outcome.at, by: add });
  const reads = operations.flatMap((operation) => {
    const { input, outcome } = operation;
    if (input.f !== 'read' || outcome.type !== 'ok' || outcome.output.elements === undefined) return [];
    return [{ operation, elements: new Set(outcome.output.elements) }];
  });
  for (const { operation, elements } of reads) {
    for (const element of elements) {
      const add = adds.get(element);
      const refused = add === undefined || add.outcome.type === 'fail' || add.invokedAt > endOf(operation);
      if (refused) {
        const detail = `${element} was ${add === undefined ? 'never added' : 'refused, or added later'}`;
        anomalies.push({ name: 'set-phantom', detail, operations: add === undefined ? [operation] : [operation, add] });
      }
      const known = due.get(element);
      if (known === undefined || endOf(operation) < known.since)
        due.set(element, { since: endOf(operation), by: operation });
    }
  }
  for (const { operation, elements } of reads) {
    for (const [element, { since, by }] of due) {
      if (since >= operation.invokedAt || elements.has(element)) continue;
      const name = by.input.f === 'add' ? 'set-lost' : 'set-vanished';
      anomalies.push({ name, detail: `${element} was there before this read began`, operations: [by, operation] });
    }
  }
  return verdictOf(anomalies);
}

export type CounterInput = { readonly f: 'add'; readonly by: number } | { readonly f: 'read' };
export type CounterOperation = Operation<CounterInput, { readonly value?: number | undefined }>;

/**
 * A counter with additions of positive amounts, each exactly once: a read is at least what was acknowledged before it began, and at most
 * what was begun, and not refused, before it ended.
 */
export function checkCounter(operations: readonly CounterOperation[], initial = 0): Verdict {
  const anomalies: Anomaly[] = [];
  const adds = operations.flatMap((operation) => {
    return operation.input.f === 'add' && operation.outcome.type !== 'fail'
      ? [{ operation, by: operation.input.by }]
      : [];
  });
  const sum = (counts: (add: CounterOperation) => boolean): number => {
    return adds.reduce((before, add) => before + (counts(add.operation) ? add.by : 0), initial);
  };
  for (const read of operations) {
    if (read.input.f !== 'read' || read.outcome.type !== 'ok' || read.outcome.output.value === undefined) continue;
    const { value } = read.outcome.output;
    const least = sum((add) => endOf(add) < read.invokedAt);
    const most = sum((add) => add.invokedAt <= endOf(read));
    if (value < least || value > most) {
      const name = value < least ? 'counter-lost' : 'counter-doubled';
      anomalies.push({ name, detail: `${value} is not in [${least}, ${most}]`, operations: [read] });
    }
  }
  return verdictOf(anomalies);
}
