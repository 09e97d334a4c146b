import { Leadership } from './leadership';
import type { Value } from './messages';
import { Group } from './testing/group';
import { formatValue } from './testing/format';

/**
 * r3 leads (1,2,3), takes in r4 and r5, and removes r1. The last change is chosen by r3, r4 and r5; r1 slept all the while, and r2 since
 * r4 was there. Then r3 falls silent, and r1 campaigns with the promise of r2: a quorum of the configuration that r1 knows, which r2's
 * votes lead two configurations further, but not to the last change.
 */
function returnOfAStaleMember(): { readonly atTheLeader: Value | undefined; readonly atTheStale: Value | undefined } {
  const group = new Group(3).elect(3);
  group.change(3, [1, 2, 3, 4]);
  group.run(({ to }) => to !== 1);
  group.join(3);
  group.change(3, [1, 2, 3, 4, 5]);
  group.tick(3, 5);
  group.run(({ to, message }) => to !== 1 && !(to === 2 && message.kind === 'chosen'));
  group.join(3);
  group.tick(3, 5);
  group.run(({ from, to }) => ![1, 2].includes(to) && ![1, 2].includes(from));
  group.change(3, [2, 3, 4, 5]);
  group.run(({ to, message }) => to > 2 && !(message.kind === 'chosen' && message.chosenThrough === 4));

  for (const id of [1, 2, 4, 5]) group.step(id, { kind: 'leader-lost' });
  group.pool = group.pool.filter(({ from }) => from === 1);
  group.propose(1, 'y');
  const reachable = (): void => void group.runAmong(1, 2, 4);
  reachable();
  for (let round = 0; round < 5; round++) {
    group.tick(1, 5);
    reachable();
  }
  return { atTheLeader: group.delivered.get(3)?.get(4), atTheStale: group.delivered.get(1)?.get(4) };
}

describe('a member that slept through changes and campaigns', () => {
  afterEach(() => jest.restoreAllMocks());

  it('prepares again with the quorum of each configuration it meets, and so finds what that one chose', () => {
    const { atTheLeader, atTheStale } = returnOfAStaleMember();
    expect(formatValue(atTheLeader!)).toBe('members-3(2,3,4,5)');
    expect(atTheStale).toEqual(atTheLeader);
  });

  // The bug that the rule is there for: planted, it has two values chosen at one instance.
  it('would choose another value with the promises of the old quorum alone', () => {
    jest.spyOn(Leadership.prototype, 'proven', 'get').mockReturnValue(true);
    const { atTheLeader, atTheStale } = returnOfAStaleMember();
    expect(formatValue(atTheLeader!)).toBe('members-3(2,3,4,5)');
    expect(formatValue(atTheStale!)).toBe('no-op@2.1');
  });
});

/**
 * r3 leads (1,2,3). What it writes is chosen with the vote of r2; r1 votes for the change that removes r2, but hears nothing else. Whoever knows
 * of the write would be r3 alone: were that one removed next, nobody.
 * @returns the outcome of the removal
 */
function theOneWhoKnowsLeaves(group: Group): number {
  group.propose(3, 'known to who leaves');
  group.run(({ to }) => to !== 1);
  const removal = group.change(3, [1, 3]);
  group.run(({ to, message }) => to !== 1 || (message.kind === 'accept' && message.instance === 3));
  return removal;
}

describe('a voter that is removed', () => {
  it('stays until a quorum of those who stay know everything that was chosen with it', () => {
    const group = new Group(3).elect(3);
    const removal = theOneWhoKnowsLeaves(group);
    expect(group.outcome(removal)).toBeUndefined();
    group.tick(3, 5);
    group.run();
    group.tick(1, 5);
    group.run();
    expect(group.outcome(removal)?.outcome).toBe('chosen');
    expect(formatValue(group.delivered.get(1)!.get(2)!)).toContain('known to who leaves');
  });

  it('does not keep a group from removing one that is lost', () => {
    const group = new Group(3).elect(3);
    const removal = group.change(3, [2, 3]);
    group.runAmong(2, 3);
    expect(group.outcome(removal)?.outcome).toBe('chosen');
  });
});
