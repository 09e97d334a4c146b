import { invariant } from '@synod/invariant';
import type { Timestamp } from './words';

/** What the anchor shard knows of a transaction. */
export type DecisionRecord =
  /** Nothing is decided. */
  | { readonly state: 'none' }
  /** For good. Invariant `decision-never-changes`. */
  | { readonly state: 'committed'; readonly attempt: number; readonly commitTs: Timestamp }
  /** No attempt up to and including this one has committed or ever will; a later one may. */
  | { readonly state: 'aborted'; readonly attempt: number };

/** A record that decides something, and what `decide` proposes. */
export type Decision = Exclude<DecisionRecord, { state: 'none' }>;

export const UNDECIDED: DecisionRecord = { state: 'none' };

/**
 * The compare-and-set of the decision record: the one place where a transaction's fate is settled, whoever asks and however often.
 * Attempt n is admitted over nothing and over aborted(< n); what is committed stays (Gray & Lamport, "Consensus on Transaction
 * Commit", §2: a decision is stable). Expired deadlines only permit a proposal; this function alone decides.
 * @returns the record as it stands afterwards: the proposal won only if it equals it
 */
export function admit(record: DecisionRecord, proposal: Decision): Decision {
  const next = winner(record, proposal);
  invariant(record.state !== 'committed' || sameDecision(record, next), 'decision-never-changes');
  return next;
}

function winner(record: DecisionRecord, proposal: Decision): Decision {
  switch (record.state) {
    case 'none':
      return proposal;
    case 'committed':
      return record;
    case 'aborted':
      return proposal.attempt > record.attempt ? proposal : record;
  }
}

/** What a record says about one attempt. */
export type Fate = 'undecided' | 'committed' | 'aborted';

/** An attempt other than the one that committed can never commit any more: to its intents the record says `aborted`. */
export function fateOf(attempt: number, record: DecisionRecord): Fate {
  switch (record.state) {
    case 'none':
      return 'undecided';
    case 'committed':
      return record.attempt === attempt ? 'committed' : 'aborted';
    case 'aborted':
      return record.attempt >= attempt ? 'aborted' : 'undecided';
  }
}

export function sameDecision(a: DecisionRecord, b: DecisionRecord): boolean {
  if (a.state === 'none' || b.state === 'none') return a.state === b.state;
  if (a.attempt !== b.attempt) return false;
  if (a.state === 'committed') return b.state === 'committed' && a.commitTs === b.commitTs;
  return b.state === 'aborted';
}
