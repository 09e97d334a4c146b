import type { Operation } from './history';
import { STEPS_MAX, checkLinearizable, type Model } from './linearizability';
import { worstOf, type Verdict } from './verdict';

/** What clients do to keys that each hold one value or none. Written values are unique per key, over all processes. */
export type RegisterInput =
  | { readonly f: 'read'; readonly key: string }
  | { readonly f: 'write'; readonly key: string; readonly value: string }
  | { readonly f: 'delete'; readonly key: string }
  /** Writes `value` (or deletes, if absent) if the key holds `expected` (or nothing, if absent). */
  | { readonly f: 'cas'; readonly key: string; readonly expected?: string; readonly value?: string };

/** `value`: what a read saw, absent for an absent key. `swapped`: whether a compare-and-set wrote. */
export interface RegisterOutput {
  readonly value?: string;
  readonly swapped?: boolean;
}

export type RegisterOperation = Operation<RegisterInput, RegisterOutput>;

const ABSENT = '-';
const holding = (value: string | undefined): string => (value === undefined ? ABSENT : `=${value}`);

/** One key. */
export const registerModel: Model<RegisterInput, RegisterOutput> = {
  initial: ABSENT,
  step(state, input, output) {
    switch (input.f) {
      case 'read':
        return output === undefined || holding(output.value) === state ? state : undefined;
      case 'write':
        return holding(input.value);
      case 'delete':
        return ABSENT;
      case 'cas': {
        const swaps = holding(input.expected) === state;
        // Unanswered and without effect is the same as never having happened.
        if (output === undefined) return swaps ? holding(input.value) : undefined;
        if (output.swapped !== swaps) return undefined;
        return swaps ? holding(input.value) : state;
      }
    }
  },
  readOnly: (input, output) => input.f === 'read' || (input.f === 'cas' && output?.swapped === false),
};

/** Whether every key by itself is linearizable; together they then are (locality, Herlihy & Wing §3.3). */
export function checkRegisters(operations: readonly RegisterOperation[], stepsMax: number = STEPS_MAX): Verdict {
  const keys = new Map<string, RegisterOperation[]>();
  for (const operation of operations) {
    const { key } = operation.input;
    const list = keys.get(key);
    if (list === undefined) keys.set(key, [operation]);
    else list.push(operation);
  }
  return worstOf([...keys.values()].map((list) => checkLinearizable(pruned(list), registerModel, stepsMax)));
}

/**
 * Takes out what cannot matter, which decides more than any algorithm: unknown operations stay open for ever and double the search
 * each. An unknown write that nobody observed is dropped: a legal order with it is one without it. One that was observed must have
 * happened before its first observer ended. Both need values that are written once.
 */
export function pruned(operations: readonly RegisterOperation[]): RegisterOperation[] {
  const writes = new Map<string, number>();
  const observedBy = new Map<string, number>();
  let refusals = false;
  for (const { input, outcome } of operations) {
    if (outcome.type === 'fail') continue;
    if ((input.f === 'write' || input.f === 'cas') && input.value !== undefined) {
      writes.set(input.value, (writes.get(input.value) ?? 0) + 1);
    }
    const seen = observed(input, outcome.type === 'ok' ? outcome.output : undefined);
    const at = outcome.type === 'ok' ? outcome.at : Infinity;
    if (seen !== undefined) observedBy.set(seen, Math.min(observedBy.get(seen) ?? Infinity, at));
    // A refused compare-and-set observed "anything but this", which an unseen write may have been.
    if (input.f === 'cas' && outcome.type === 'ok' && outcome.output.swapped === false) refusals = true;
  }
  return operations.flatMap((operation) => {
    const { input, outcome } = operation;
    if (outcome.type !== 'info') return [operation];
    if (input.f === 'read') return [];
    if (input.f === 'delete' || input.value === undefined || (writes.get(input.value) ?? 0) > 1) return [operation];
    const at = observedBy.get(input.value);
    if (at === undefined) return refusals ? [operation] : [];
    // Never answered, or answered before this was even called: then it has no end, and the search will find what is wrong.
    if (at === Infinity || at < operation.invokedAt) return [operation];
    return [{ ...operation, outcome: { type: 'ok', at, output: { swapped: true } } }];
  });
}

/** The value that an operation must have found, or may have found if its answer is unknown. */
function observed(input: RegisterInput, output: RegisterOutput | undefined): string | undefined {
  if (input.f === 'read') return output?.value;
  if (input.f === 'cas' && output?.swapped !== false) return input.expected;
  return undefined;
}
