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
