import { changeIn, changeTo, foundingOf, mayFollow, voters, type Configuration } from './configuration';
import { NO_OP } from './value';

const founding = foundingOf([1, 2, 3].map((replicaId) => ({ replicaId })));

/** `'1,2,4?'` after the founding, or after another one. */
function after(text: string, before: Configuration = founding): Configuration {
  const members = text.split(',').map((word) => ({ replicaId: parseInt(word), learner: word.endsWith('?') }));
  const highestId = Math.max(before.highestId, ...members.map(({ replicaId }) => replicaId));
  return { version: before.version + 1, members, highestId };
}

describe('a change', () => {
  it('holds the whole configuration, with what the host keeps beside it', () => {
    const told = { ...founding, version: 7, members: [{ replicaId: 1, learner: false, nodeId: 'n1' }] };
    expect(changeIn(changeTo(told))).toEqual(told);
  });

  it('is not seen in other values', () => {
    expect(changeIn(NO_OP)).toBeUndefined();
    expect(changeIn([Uint8Array.of(0)])).toBeUndefined();
    expect(changeIn([...changeTo(founding), Uint8Array.of(1)])).toBeUndefined();
  });
});

// Ongaro, "Consensus: Bridging Theory and Practice", §4.1: quorums of configurations one voter apart share a member.
describe('one configuration may follow another', () => {
  it.each(['1,2,3,4?', '1,2,3,4', '1,2', '1,2,4?', '1,2,3?', '1,2,3'])('(1,2,3), then (%s)', (text) => {
    expect(mayFollow(after(text), founding)).toBe(true);
  });

  it.each([
    ['two voters come', '1,2,3,4,5'],
    ['two voters go', '1'],
    ['one voter takes the place of another', '1,2,4'],
    ['nobody votes', '1?,2?,3?'],
    ['a member is there twice', '1,2,3,3'],
  ])('but not if %s', (_, text) => {
    expect(mayFollow(after(text), founding)).toBe(false);
  });

  it('but not out of turn', () => {
    expect(mayFollow({ ...after('1,2'), version: 2 }, founding)).toBe(false);
    expect(mayFollow(founding, founding)).toBe(false);
  });

  it('and never with an id that was used before', () => {
    const without = after('1,2');
    expect(mayFollow(after('1,2,3', without), without)).toBe(false);
    expect(mayFollow(after('1,2,4', without), without)).toBe(true);
    expect(mayFollow({ ...after('1,2,4', without), highestId: 3 }, without)).toBe(false);
    expect(mayFollow({ ...after('1', without), highestId: 2 }, without)).toBe(false);
  });
});

it('counts voters without the learners', () => {
  expect(voters(after('1,2,4?'))).toEqual([1, 2]);
});

// The safety of single steps rests on this; see decision 0010.
it('any quorum meets any quorum of a configuration that may follow', () => {
  const subsets = (ids: readonly number[]): number[][] =>
    ids.reduce<number[][]>((sets, id) => [...sets, ...sets.map((set) => [...set, id])], [[]]);
  const quorums = (ids: readonly number[]): number[][] => subsets(ids).filter((set) => set.length > ids.length / 2);
  for (let size = 1; size <= 6; size++) {
    const before = Array.from({ length: size }, (_, index) => index);
    const grown = [...before, size];
    for (const quorum of quorums(before)) {
      for (const other of quorums(grown)) expect(quorum.some((id) => other.includes(id))).toBe(true);
    }
  }
});
