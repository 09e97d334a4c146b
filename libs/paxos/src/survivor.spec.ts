import { NO_BALLOT, type Instance } from './ballot';
import { changeTo, foundingOf } from './configuration';
import { stamped } from './fence';
import type { Value } from './messages';
import type { ReplicaRecord } from './records';
import { survivingEntries } from './survivor';
import { formatValue } from './testing/format';
import { ballot, value } from './testing/values';

const voted = (instance: Instance, by: string, what: Value): ReplicaRecord => ({
  kind: 'voted',
  instance,
  ballot: ballot(by),
  value: what,
});
const learned = (instance: Instance, what: Value): ReplicaRecord => ({ kind: 'learned', instance, value: what });

/** What is left above an empty store: each entry by its commands, with a mark where it is known to be chosen. */
function left(records: readonly ReplicaRecord[], store = { appliedThrough: 0, term: NO_BALLOT }): string[] {
  return survivingEntries(records, store).map(
    ({ instance, commands, learned: known }) => `${instance}: ${formatValue(commands)}${known ? '!' : ''}`,
  );
}

// §2.2, step 2a: the value of the highest-numbered proposal among those that the acceptors in the quorum have voted for.
it('is the latest vote of each instance, and a learned value before any vote', () => {
  const records = [
    voted(1, '1.1', value('old')),
    voted(2, '1.1', value('lost')),
    voted(1, '2.2', value('new')),
    learned(2, value('won')),
    voted(3, '2.2', value('last')),
  ];
  expect(left(records)).toEqual(['1: new', '2: won!', '3: last']);
});

it('begins above what the store has applied, and ends before the first instance that nothing is known of', () => {
  const records = [1, 2, 3, 5].map((instance) => voted(instance, '1.1', value(`v${instance}`)));
  expect(left(records, { appliedThrough: 1, term: NO_BALLOT })).toEqual(['2: v2', '3: v3']);
  expect(left(records, { appliedThrough: 3, term: NO_BALLOT })).toEqual([]);
});

it('takes votes that were said again before the log was cut', () => {
  const kept: ReplicaRecord = { kind: 'kept', instance: 1, ballot: ballot('1.1'), value: value('kept') };
  expect(left([{ kind: 'promised', ballot: ballot('3.3') }, kept])).toEqual(['1: kept']);
});

it('goes by the term: what a deposed leader proposed changes nothing, nor does a change of the members', () => {
  const change = changeTo(foundingOf([{ replicaId: 1 }]));
  const records = [
    voted(1, '3.3', stamped([Buffer.from('late')], ballot('1.1'))),
    voted(2, '3.3', change),
    voted(3, '3.3', stamped([Buffer.from('own')], ballot('3.3'))),
  ];
  expect(left(records, { appliedThrough: 0, term: ballot('2.2') })).toEqual(['1: no-op', '2: no-op', '3: own']);
  expect(survivingEntries(records, { appliedThrough: 0, term: NO_BALLOT }).at(-1)?.term).toEqual(ballot('3.3'));
});
