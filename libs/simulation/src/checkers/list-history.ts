import type { Operation } from './history';

/** One step of a transaction over lists. Appended values are unique per key, over all transactions. */
export type ListStep =
  | { readonly f: 'append'; readonly key: string; readonly value: number }
  /** `list` as it was read, own appends included. */
  | { readonly f: 'read'; readonly key: string; readonly list: readonly number[] };

/**
 * A transaction over lists. Its steps are in the output of its outcome; of a failed or unknown one only the appends count, but those do:
 * they show whether something that never committed was seen.
 */
export type ListOperation = Operation<unknown, readonly ListStep[]>;

/** What a transaction saw of others: its reads less its own appends before them. */
export function externalReads(
  steps: readonly ListStep[],
): { readonly key: string; readonly list: readonly number[] }[] {
  const own = new Map<string, number>();
  const reads: { key: string; list: readonly number[] }[] = [];
  for (const step of steps) {
    const count = own.get(step.key) ?? 0;
    if (step.f === 'append') own.set(step.key, count + 1);
    else reads.push({ key: step.key, list: step.list.slice(0, Math.max(0, step.list.length - count)) });
  }
  return reads;
}
