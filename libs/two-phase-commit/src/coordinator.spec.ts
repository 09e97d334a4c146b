import { Coordinator, type CoordinatorEffect, type CoordinatorInput, type Vote } from './coordinator';
import type { Decision } from './decision';

const txn = { id: 't', anchor: 1 };
const committed = (commitTs: bigint): Decision => ({ state: 'committed', attempt: 1, commitTs });
const aborted: Decision = { state: 'aborted', attempt: 1 };
const yes = (prepTs: bigint): Vote => ({ kind: 'yes', prepTs });

function scenario(participants: number[], retriesMax = 3) {
  const coordinator = new Coordinator({ txn, attempt: 1, participants }, retriesMax);
  const give = (...inputs: CoordinatorInput[]): readonly CoordinatorEffect[] => {
    let last: readonly CoordinatorEffect[] = [];
    for (const input of inputs) last = coordinator.step(input);
    return last;
  };
  const vote = (shard: number, answer: Vote): CoordinatorInput => ({ kind: 'voted', shard, vote: answer });
  return { coordinator, give, vote };
}

const decideOf = (effects: readonly CoordinatorEffect[]): Decision | undefined =>
  effects.flatMap((effect) => (effect.kind === 'decide' ? [effect.proposal] : []))[0];
const kinds = (effects: readonly CoordinatorEffect[]): string[] => effects.map((effect) => effect.kind);

describe('the vote', () => {
  it('asks every participant at once', () => {
    const { give } = scenario([1, 2, 3]);
    expect(give({ kind: 'start' })).toEqual([1, 2, 3].map((shard) => ({ kind: 'prepare', shard })));
  });

  // Gray & Lamport, §2: the transaction commits only if every participant is prepared. Not a majority.
  it('commits only with the yes of every participant, at the highest of their timestamps', () => {
    const { give, vote } = scenario([1, 2, 3]);
    give({ kind: 'start' });
    expect(give(vote(1, yes(10n)))).toEqual([]);
    expect(give(vote(3, yes(30n)))).toEqual([]);
    expect(give(vote(3, yes(30n)))).toEqual([]);
    expect(give(vote(2, yes(20n)))).toEqual([{ kind: 'decide', proposal: committed(30n), participants: [1, 2, 3] }]);
  });

  it('decides to abort at the first no, and tells the client only what the record says', () => {
    const { give, vote } = scenario([1, 2]);
    give({ kind: 'start' });
    expect(decideOf(give(vote(2, { kind: 'no', reason: 'locked' })))).toEqual(aborted);
    const effects = give({ kind: 'decided', record: aborted });
    expect(effects[0]).toEqual({
      kind: 'reply',
      reply: { kind: 'outcome', outcome: aborted, conflict: true, reason: 'locked' },
    });
    expect(effects.slice(1)).toEqual([{ kind: 'resolve', shard: 1, outcome: aborted }]);
  });

  // Two coordinators of one attempt: a shard said no to this one and yes to the other.
  it('reports the commit that another coordinator of the attempt got through, though it saw a no', () => {
    const { give, vote } = scenario([1, 2]);
    give({ kind: 'start' }, vote(2, { kind: 'no', reason: 'locked' }));
    const [reply] = give({ kind: 'decided', record: committed(7n) });
    expect(reply).toEqual({
      kind: 'reply',
      reply: { kind: 'outcome', outcome: committed(7n), conflict: false, reason: '' },
    });
  });

  it('ends the vote when a participant knows the decision', () => {
    const { give, vote } = scenario([1, 2]);
    give({ kind: 'start' });
    expect(kinds(give(vote(2, { kind: 'decided', record: committed(7n) })))).toEqual(['reply', 'resolve', 'resolve']);
  });

  it('proposes to abort when a participant cannot be reached or time runs out', () => {
    for (const input of [
      { kind: 'voted', shard: 2, vote: { kind: 'unreachable', reason: 'no quorum' } },
      { kind: 'timeout' },
    ] as const) {
      const { give, vote } = scenario([1, 2]);
      give({ kind: 'start' }, vote(1, yes(10n)));
      expect(decideOf(give(input))).toEqual(aborted);
      // A late yes changes nothing.
      expect(give(vote(2, yes(20n)))).toEqual([]);
    }
  });
});

describe('one phase', () => {
  it('is used when the anchor is the only participant', () => {
    const { give, vote } = scenario([1]);
    expect(give({ kind: 'start' })).toEqual([{ kind: 'commit-one-phase', shard: 1 }]);
    expect(kinds(give(vote(1, { kind: 'decided', record: committed(5n) })))).toEqual(['reply', 'finished']);
  });

  it('is not used when the only participant is not the anchor', () => {
    expect(scenario([2]).give({ kind: 'start' })).toEqual([{ kind: 'prepare', shard: 2 }]);
  });

  it('asks the record when the answer is lost, for it may have committed', () => {
    const { give, vote } = scenario([1]);
    give({ kind: 'start' });
    expect(decideOf(give(vote(1, { kind: 'unreachable', reason: 'connection broke' })))).toEqual(aborted);
    const [reply] = give({ kind: 'decided', record: committed(5n) });
    expect(reply).toMatchObject({ reply: { kind: 'outcome', outcome: committed(5n) } });
  });

  it('fences a no too: the same attempt may be on its way elsewhere', () => {
    const { give, vote } = scenario([1]);
    give({ kind: 'start' });
    expect(decideOf(give(vote(1, { kind: 'no', reason: 'locked' })))).toEqual(aborted);
    expect(kinds(give({ kind: 'decided', record: aborted }))).toEqual(['reply', 'finished']);
  });
});

describe('a lost decision', () => {
  const deciding = (retriesMax = 3) => {
    const s = scenario([1, 2], retriesMax);
    s.give({ kind: 'start' }, s.vote(1, yes(10n)), s.vote(2, yes(20n)));
    return s;
  };

  it('is asked for again, the same, until the record answers', () => {
    const { give } = deciding();
    expect(give({ kind: 'tick' })).toEqual([]); // Still waiting for the first answer.
    expect(decideOf(give({ kind: 'decide-failed', reason: 'broke' }, { kind: 'tick' }))).toEqual(committed(20n));
    expect(kinds(give({ kind: 'decided', record: committed(20n) }))).toEqual(['reply', 'resolve', 'resolve']);
  });

  it('is reported as unknown when the client waits no longer, and still pursued', () => {
    const { give } = deciding();
    expect(give({ kind: 'timeout' })).toMatchObject([{ kind: 'reply', reply: { kind: 'unknown' } }]);
    expect(kinds(give({ kind: 'decided', record: committed(20n) }))).toEqual(['resolve', 'resolve']);
  });

  it('is given up, as unknown, after the retries: recovery finishes', () => {
    const { give, coordinator } = deciding(1);
    const fail = { kind: 'decide-failed', reason: 'no quorum' } as const;
    give(fail, { kind: 'tick' });
    expect(give(fail)).toEqual([
      { kind: 'reply', reply: { kind: 'unknown', reason: 'no quorum' } },
      { kind: 'finished' },
    ]);
    expect(coordinator.phase).toBe('finished');
  });

  it('may turn out aborted by somebody who took the coordinator for dead', () => {
    const { give } = deciding();
    expect(give({ kind: 'decided', record: aborted })[0]).toMatchObject({
      reply: { kind: 'outcome', outcome: aborted, conflict: true },
    });
  });
});

describe('resolving', () => {
  const resolving = (retriesMax = 3) => {
    const s = scenario([1, 2], retriesMax);
    s.give({ kind: 'start' }, s.vote(1, yes(10n)), s.vote(2, yes(20n)), { kind: 'decided', record: committed(20n) });
    return s;
  };

  it('repeats what failed and ends when every participant has answered', () => {
    const { give } = resolving();
    give({ kind: 'resolved', shard: 1 }, { kind: 'resolve-failed', shard: 2 });
    expect(give({ kind: 'tick' })).toEqual([{ kind: 'resolve', shard: 2, outcome: committed(20n) }]);
    expect(give({ kind: 'tick' })).toEqual([]);
    expect(give({ kind: 'resolved', shard: 2 })).toEqual([{ kind: 'finished' }]);
  });

  it('leaves the rest to recovery after the retries', () => {
    const { give } = resolving(1);
    give({ kind: 'resolve-failed', shard: 2 }, { kind: 'tick' }, { kind: 'resolve-failed', shard: 2 });
    expect(give({ kind: 'tick' })).toEqual([{ kind: 'finished' }]);
  });
});
