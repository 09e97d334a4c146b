import { historyLines, type Operation } from './history';

/** One thing that no legal system could have answered. */
export interface Anomaly {
  /** The field's name for it. */
  readonly name: string;
  /** In words, with the values. */
  readonly detail: string;
  /** Who saw it. */
  readonly operations: readonly Operation<unknown, unknown>[];
}

/** What a checker concludes. `undecided` is not a pass: count it, and shorten the histories if it is more than one in a hundred. */
export type Verdict =
  | { readonly verdict: 'legal' }
  | { readonly verdict: 'illegal'; readonly anomalies: readonly Anomaly[] }
  | { readonly verdict: 'undecided'; readonly reason: string };

export const LEGAL: Verdict = { verdict: 'legal' };

export function verdictOf(anomalies: readonly Anomaly[]): Verdict {
  return anomalies.length === 0 ? LEGAL : { verdict: 'illegal', anomalies };
}

/** The worst of several verdicts: illegal, then undecided. */
export function worstOf(verdicts: readonly Verdict[]): Verdict {
  const anomalies = verdicts.flatMap((verdict) => (verdict.verdict === 'illegal' ? verdict.anomalies : []));
  if (anomalies.length > 0) return { verdict: 'illegal', anomalies };
  return verdicts.find((verdict) => verdict.verdict === 'undecided') ?? LEGAL;
}

/** A verdict as text, for a failure report. */
export function verdictLines(verdict: Verdict): string[] {
  switch (verdict.verdict) {
    case 'legal':
      return ['legal'];
    case 'undecided':
      return [`undecided: ${verdict.reason}`];
    case 'illegal':
      return verdict.anomalies.flatMap(({ name, detail, operations }) => [
        `${name}: ${detail}`,
        ...historyLines(operations).map((line) => `  ${line}`),
      ]);
  }
}
