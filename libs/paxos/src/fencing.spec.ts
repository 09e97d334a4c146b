import type { Settled } from './effects';
import { Leadership, type LeaderParts } from './leadership';
import type { Found } from './phase-one';
import { formatValue } from './testing/format';
import { Group } from './testing/group';

/**
 * r1 is cut off with a vote at instance 2 that nobody else has heard of. r2 leads with the promise of r3, and is asked to read; its own
 * first value reaches nobody. Then r2 falls silent, and r3 leads with the promise of r1, whose vote it has to carry.
 */
function voteOfADeposedLeader(): { readonly read: Settled | undefined; readonly takesEffect: string } {
  const group = new Group(3).elect(1);
  group.propose(1, 'late');
  group.pool = group.pool.filter(({ from, to }) => from === 1 && to === 1);
  for (const id of [2, 3]) group.step(id, { kind: 'leader-lost' });
  group.pool = group.pool.filter(({ from, to, message }) => to !== 1 && !(from === 3 && message.kind === 'probe'));
  const { token } = group.read(2);
  group.run(({ from, to, message }) => from !== 1 && to !== 1 && message.kind !== 'accept');

  group.receive(1, 3, { kind: 'nack', ballot: group.replica(1).promised, promised: group.replica(3).promised });
  group.elect(3, 1, 3);
  expect(group.replica(3).leads).toBe(true);
  return { read: group.outcome(token), takesEffect: formatValue(group.delivered.get(3)?.get(2) ?? []) };
}

describe('a leader that has no value of its own in the log', () => {
  afterEach(() => jest.restoreAllMocks());

  it('serves no read: what it has not heard of may yet take effect', () => {
    const { read, takesEffect } = voteOfADeposedLeader();
    expect(takesEffect).toBe('late@1.1');
    expect(read).toBeUndefined();
  });

  // The bug that the rule is there for: planted, it has a read miss what takes effect before it in the log.
  it('would have served one if it only waited for what phase 1 found', () => {
    jest.spyOn(Leadership.prototype, 'recovered', 'get').mockImplementation(function (this: Leadership) {
      const { parts, found } = this as unknown as { parts: LeaderParts; found: Found };
      return parts.learner.chosenThrough >= found.lastFound;
    });
    const { read, takesEffect } = voteOfADeposedLeader();
    expect(takesEffect).toBe('late@1.1');
    expect(read).toMatchObject({ outcome: 'read-ready', instance: 1 });
  });
});
