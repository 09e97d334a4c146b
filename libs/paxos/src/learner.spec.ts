import { Acceptor } from './acceptor';
import { NO_BALLOT } from './ballot';
import { stamped } from './fence';
import { Learner } from './learner';
import { Outbox } from './outbox';
import { ballot, value } from './testing/values';

describe('Learner', () => {
  const outbox = new Outbox();
  let acceptor: Acceptor;
  let learner: Learner;

  beforeEach(() => {
    acceptor = new Acceptor(2, 1_000, outbox);
    learner = new Learner(
      2,
      { delivered: () => undefined },
      acceptor,
      { pageBytes: 40, tailInstances: 2, tailBytes: 1_000 },
      outbox,
    );
    outbox.take();
  });

  function vote(in_: string, instance: number, text: string): void {
    acceptor.vote(1, ballot(in_), instance, value(text), 0);
    acceptor.synced(ballot(in_), instance);
  }

  /** @returns instances delivered since the last call */
  function delivered(): number[] {
    learner.advance();
    return outbox.take().chosen.map(({ instance }) => instance);
  }

  it('delivers in order, each instance once', () => {
    for (const instance of [1, 2, 3]) vote('1.1', instance, 'x');
    learner.hear(ballot('1.1'), 2);
    expect(delivered()).toEqual([1, 2]);
    learner.hear(ballot('1.1'), 2);
    learner.hear(ballot('1.1'), 1);
    expect(delivered()).toEqual([]);
    learner.hear(ballot('1.1'), 3);
    expect(delivered()).toEqual([3]);
  });

  it('takes a vote for the chosen value only in the ballot of the leader that announces', () => {
    vote('1.1', 1, 'x');
    learner.hear(ballot('2.3'), 1);
    expect(delivered()).toEqual([]);
    expect(learner.learn([{ instance: 1, value: value('y') }], Infinity)).toBe(true);
    learner.synced(1);
    learner.advance();
    expect(outbox.take().chosen).toMatchObject([{ instance: 1, value: value('y'), commands: value('y') }]);
  });

  // Invariant `deposed-values-change-nothing`.
  describe('after a value of a higher ballot', () => {
    /** @returns the commands of each instance that is delivered now */
    function effects(through: number): string[] {
      learner.hear(ballot('3.3'), through);
      learner.advance();
      return outbox.take().chosen.map(({ commands }) => Buffer.concat(commands).toString());
    }

    function chosen(instance: number, text: string, stamp: string): void {
      acceptor.vote(1, ballot('3.3'), instance, stamped(value(text), ballot(stamp)), 0);
      acceptor.synced(ballot('3.3'), instance);
    }

    it('delivers what a lower one proposed without its commands', () => {
      chosen(1, 'a', '1.1');
      chosen(2, 'b', '2.2');
      chosen(3, 'late', '1.1');
      chosen(4, 'c', '2.2');
      expect(effects(4)).toEqual(['a', 'b', '', 'c']);
    });

    it('does so across a restart and a snapshot, with the term of the state', () => {
      learner.restored(0, 0, ballot('2.2'));
      chosen(1, 'late', '1.1');
      expect(effects(1)).toEqual(['']);
      learner.installed(5, ballot('3.2'));
      chosen(6, 'later', '3.1');
      chosen(7, 'd', '3.3');
      expect(effects(7)).toEqual(['', 'd']);
    });

    it('asks nothing of values that name no ballot', () => {
      chosen(1, 'a', '2.2');
      vote('3.3', 2, 'unnamed');
      expect(effects(2)).toEqual(['a', 'unnamed']);
    });
  });

  it('ignores watermarks of ballots below the one announced last', () => {
    vote('1.1', 1, 'x');
    learner.hear(ballot('2.3'), 0);
    learner.hear(ballot('1.1'), 1);
    expect(delivered()).toEqual([]);
  });

  it('does not skip a hole', () => {
    vote('1.1', 2, 'x');
    learner.hear(ballot('1.1'), 2);
    expect(delivered()).toEqual([]);
    vote('1.1', 1, 'x');
    expect(delivered()).toEqual([1, 2]);
  });

  it('delivers only what a restart would find', () => {
    acceptor.vote(1, ballot('1.1'), 1, value('x'), 0);
    learner.hear(ballot('1.1'), 1);
    learner.advance();
    expect(outbox.take()).toMatchObject({ chosen: [], reached: ['paxos.chosen-before-synced'] });
    expect(learner.knownThrough).toBe(1);
    acceptor.synced(ballot('1.1'), 1);
    expect(delivered()).toEqual([1]);
  });

  it('does not take the sync of a vote that lost for that of the value it learned', () => {
    vote('1.1', 1, 'x');
    learner.learn([{ instance: 1, value: value('y') }], Infinity);
    expect(delivered()).toEqual([]);
  });

  it('logs what it learns, once, and hears from itself when that is on disk', () => {
    const entries = [1, 2].map((instance) => ({ instance, value: value('y') }));
    expect(learner.learn(entries, Infinity)).toBe(true);
    const effects = outbox.take();
    expect(effects.persist.map(({ kind }) => kind)).toEqual(['learned', 'learned']);
    expect(effects.send).toMatchObject([{ to: 2, message: { kind: 'chosen-reply', chosenThrough: 2 } }]);
    expect(learner.learn(entries, Infinity)).toBe(false);
    expect(outbox.take().persist).toEqual([]);
  });

  it('learns nothing beyond a gap, nor above the limit', () => {
    expect(learner.learn([{ instance: 2, value: value('y') }], Infinity)).toBe(false);
    learner.learn(
      [1, 2, 3].map((instance) => ({ instance, value: value('y') })),
      2,
    );
    expect(learner.knownThrough).toBe(2);
  });

  it('stops when a chosen instance is said to hold another value', () => {
    learner.learn([{ instance: 1, value: value('x') }], Infinity);
    expect(() => learner.learn([{ instance: 1, value: value('y') }], Infinity)).toThrow('one-command-per-instance');
  });

  it('serves pages of what it delivered', () => {
    for (const instance of [1, 2, 3, 4]) vote('1.1', instance, 'x');
    learner.hear(ballot('1.1'), 3);
    learner.advance();
    expect(learner.page(1).map(({ instance }) => instance)).toEqual([1, 2]);
    expect(learner.page(3).map(({ instance }) => instance)).toEqual([3]);
    expect(learner.page(4)).toEqual([]);
  });

  describe('after a restart', () => {
    it('goes on after what the store has applied, and serves what was before', () => {
      acceptor.restore({ kind: 'voted', instance: 1, ballot: ballot('1.1'), value: value('x') });
      acceptor.restore({ kind: 'voted', instance: 2, ballot: ballot('1.1'), value: value('y') });
      learner.restored(1, 0, NO_BALLOT);
      expect(learner.chosenThrough).toBe(1);
      expect(learner.page(1)).toEqual([{ instance: 1, value: value('x') }]);
      learner.hear(ballot('1.1'), 2);
      expect(delivered()).toEqual([2]);
    });

    it('prefers what it learned to what it voted for, before or after', () => {
      acceptor.restore({ kind: 'voted', instance: 1, ballot: ballot('1.1'), value: value('lost') });
      learner.restore({ kind: 'learned', instance: 1, value: value('chosen') });
      acceptor.restore({ kind: 'voted', instance: 1, ballot: ballot('2.3'), value: value('lost too') });
      learner.restored(1, 0, NO_BALLOT);
      expect(learner.page(1)).toEqual([{ instance: 1, value: value('chosen') }]);
    });

    it('delivers again what its store fell back behind, learned values included', () => {
      acceptor.restore({ kind: 'voted', instance: 1, ballot: ballot('1.1'), value: value('x') });
      learner.restore({ kind: 'learned', instance: 2, value: value('y') });
      learner.restored(0, 0, NO_BALLOT);
      expect(delivered()).toEqual([]);
      learner.hear(ballot('1.1'), 1);
      expect(delivered()).toEqual([1, 2]);
    });

    it('stops if the store applied what the log does not hold', () => {
      expect(() => learner.restored(1, 0, NO_BALLOT)).toThrow('applied-is-logged');
    });
  });

  describe('forgetting', () => {
    beforeEach(() => {
      for (const instance of [1, 2, 3, 4, 5]) vote('1.1', instance, 'x');
      learner.hear(ballot('1.1'), 4);
      delivered();
    });

    it('keeps a tail of so many instances, and what its store may lose', () => {
      learner.truncate(1);
      expect(learner.truncatedThrough).toBe(1);
      learner.truncate(4);
      expect(learner.truncatedThrough).toBe(2);
      expect(learner.page(3).map(({ instance }) => instance)).toEqual([3, 4]);
      expect([1, 2, 3, 5].map((instance) => acceptor.voteAt(instance) !== undefined)).toEqual([
        false,
        false,
        true,
        true,
      ]);
    });

    it('keeps a tail of so many bytes', () => {
      acceptor.vote(1, ballot('1.1'), 5, value('y'.repeat(2_000)), 0);
      acceptor.synced(ballot('1.1'), 5);
      learner.hear(ballot('1.1'), 5);
      delivered();
      learner.truncate(5);
      expect(learner.truncatedThrough).toBe(5);
    });

    it('never forgets what its store has not applied', () => {
      expect(() => learner.truncate(5)).toThrow('truncated-is-applied');
    });
  });
});
