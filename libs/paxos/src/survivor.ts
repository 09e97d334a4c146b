import { compareBallots, type Ballot, type Instance } from './ballot';
import { deliveryOf } from './delivery';
import type { Delivery } from './effects';
import type { Value, Vote } from './messages';
import type { ReplicaRecord } from './records';

/** An entry of a log whose other copies are gone. */
export interface SurvivingEntry extends Delivery {
  /** This replica was told the value as a chosen one. Of others it knows its own vote: they may be chosen, or not. */
  readonly learned: boolean;
}

/**
 * What a replica's disk holds of the log above what its store has applied, when nobody is left to say which of it is chosen: in the order of
 * instances, up to the first of which this replica knows nothing. It is what a leader would carry on (Lamport, "Paxos Made Simple", §2.2, step 2a,
 * and §3) if this replica's promise were all that it heard; not an outcome of agreement, and of use only where there can be none any more.
 *
 * Invariant `survivor-holds-what-it-applied`: everything that this replica ever delivered is among it. Each was delivered once its record was on
 * this disk (`applied-is-logged`): a learned value, or else the latest vote, which then is one for the chosen value (`Learner.restored` has the
 * argument). Above that may be votes whose value was not chosen. Nobody was told that such a value would not be: its proposer heard
 * nothing, or that the outcome is unknown.
 * @param records of the log, in the order in which they were persisted
 * @param store what it has applied, and the term beside that
 */
export function survivingEntries(
  records: Iterable<ReplicaRecord>,
  store: { readonly appliedThrough: Instance; readonly term: Ballot },
): SurvivingEntry[] {
  const learned = new Map<Instance, Value>();
  const votes = new Map<Instance, Vote>();
  for (const record of records) {
    if (record.kind === 'learned') learned.set(record.instance, record.value);
    else if (record.kind === 'voted' || record.kind === 'kept') holdLatest(votes, record);
  }
  const entries: SurvivingEntry[] = [];
  let { term } = store;
  for (let instance = store.appliedThrough + 1; ; instance++) {
    const value = learned.get(instance) ?? votes.get(instance)?.value;
    if (value === undefined) return entries;
    const delivery = deliveryOf({ instance, value }, term);
    ({ term } = delivery);
    entries.push({ ...delivery, learned: learned.has(instance) });
  }
}

function holdLatest(votes: Map<Instance, Vote>, { instance, ballot, value }: Vote): void {
  const held = votes.get(instance);
  if (held === undefined || compareBallots(ballot, held.ballot) >= 0) votes.set(instance, { instance, ballot, value });
}
