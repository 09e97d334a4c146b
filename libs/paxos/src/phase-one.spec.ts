import type { Message, Vote } from './messages';
import { Members } from './members';
import { DEFAULT_LIMITS } from './options';
import { Outbox } from './outbox';
import { PhaseOne, type Found } from './phase-one';
import { ballot, value } from './testing/values';

describe('PhaseOne', () => {
  const outbox = new Outbox();
  const limits = { ...DEFAULT_LIMITS, retransmitTicks: 1, electionTicks: 3 };
  let phase: PhaseOne;

  beforeEach(() => {
    phase = new PhaseOne(ballot('9.1'), 3, new Members(1, [1, 2, 3]), limits, outbox);
  });

  function vote(instance: number, in_: string, text: string): Vote {
    return { instance, ballot: ballot(in_), value: value(text) };
  }

  function promise(from: number, chosenThrough: number, votes: Vote[], page = 0, last = true): Found | undefined {
    const message: Extract<Message, { kind: 'promise' }> = {
      kind: 'promise',
      ballot: ballot('9.1'),
      firstInstance: 3,
      page,
      last,
      votes,
      chosenThrough,
    };
    return phase.promise(from, message);
  }

  it('sends the prepare only after the disk, to itself too', () => {
    const effects = outbox.take();
    expect(effects.sendNow).toEqual([]);
    expect(effects.send.map(({ to, message }) => [to, message.kind])).toEqual([1, 2, 3].map((to) => [to, 'prepare']));
  });

  // Paxos Made Simple, §2.2, P2c.
  it('carries the value of the highest ballot of a majority, in whatever order it is told', () => {
    for (const [first, second] of [
      ['2.1', '3.2'],
      ['3.2', '2.1'],
    ] as const) {
      phase = new PhaseOne(ballot('9.1'), 3, new Members(1, [1, 2, 3]), limits, outbox);
      expect(promise(2, 2, [vote(3, first, first)])).toBeUndefined();
      expect(promise(2, 2, [vote(3, first, first)])).toBeUndefined(); // The same member again is not a majority.
      expect(promise(3, 2, [vote(3, second, second)])?.carried).toEqual(new Map([[3, value('3.2')]]));
    }
  });

  it('starts above the highest watermark of its quorum: below it votes were left out', () => {
    promise(2, 5, [vote(6, '2.1', 'x'), vote(8, '2.1', 'y')]);
    const found = promise(1, 2, [vote(3, '2.1', 'chosen'), vote(4, '1.1', 'lost')]);
    expect(found).toEqual({
      floor: 5,
      floorHolder: 2,
      carried: new Map([
        [6, value('x')],
        [8, value('y')],
      ]),
      lastFound: 8,
    });
  });

  it('finds nothing in an empty log', () => {
    promise(1, 0, []);
    expect(promise(3, 0, [])).toEqual({ floor: 0, floorHolder: 1, carried: new Map(), lastFound: 0 });
  });

  it('counts a promise only when all its pages are there, in any order', () => {
    promise(1, 2, []);
    expect(promise(2, 2, [vote(5, '2.1', 'c')], 2, true)).toBeUndefined();
    expect(promise(2, 2, [vote(3, '2.1', 'a')], 0, false)).toBeUndefined();
    expect(promise(2, 2, [vote(4, '2.1', 'b')], 1, false)?.carried.size).toBe(3);
  });

  // The sender delivered 3 between two transmissions, so its second promise is cut differently: mixed, they would miss 4.
  it('never mixes pages that start above different watermarks', () => {
    promise(1, 2, []);
    promise(2, 2, [vote(3, '2.1', 'a')], 0, false);
    expect(promise(2, 3, [vote(5, '2.1', 'c')], 1, true)).toBeUndefined();
    expect(promise(2, 3, [vote(4, '2.1', 'b')], 0, false)?.carried.size).toBe(2);
  });

  it('repeats the prepare to those whose promise is not complete, and gives up without progress', () => {
    outbox.take();
    promise(1, 2, []);
    expect(phase.tick()).toBe('repeat');
    expect(outbox.take().send.map(({ to }) => to)).toEqual([2, 3]);
    phase.tick();
    promise(2, 2, [vote(3, '2.1', 'a')], 0, false);
    expect(phase.tick()).toBe('repeat');
    phase.tick();
    expect(phase.tick()).toBe('give-up');
  });
});
