import { Acceptor } from './acceptor';
import type { Effects } from './effects';
import type { Vote } from './messages';
import { Outbox } from './outbox';
import { ballot, value } from './testing/values';

describe('Acceptor', () => {
  const outbox = new Outbox();
  let acceptor: Acceptor;

  beforeEach(() => {
    acceptor = new Acceptor(2, 1_000, outbox);
    outbox.take();
  });

  function prepare(from: string, firstInstance = 1, chosenThrough = 0): Effects {
    acceptor.receive(ballot(from).replica, { kind: 'prepare', ballot: ballot(from), firstInstance }, chosenThrough);
    return outbox.take();
  }

  function accept(from: string, instance: number, text: string): Effects {
    const message = { kind: 'accept', ballot: ballot(from), instance, value: value(text), chosenThrough: 0 } as const;
    acceptor.receive(ballot(from).replica, message, 0);
    return outbox.take();
  }

  function promisedVotes(effects: Effects): Vote[] {
    return effects.send.flatMap(({ message }) => (message.kind === 'promise' ? message.votes : []));
  }

  // Paxos Made Simple, §2.2, phase 1(b).
  it('promises a higher ballot, on disk before it says so, and tells its votes', () => {
    accept('1.1', 1, 'x');
    const effects = prepare('2.3');
    expect(effects.persist).toEqual([{ kind: 'promised', ballot: ballot('2.3') }]);
    expect(effects.sendNow).toEqual([]);
    expect(promisedVotes(effects)).toEqual([{ instance: 1, ballot: ballot('1.1'), value: value('x') }]);
    expect(acceptor.promised).toEqual(ballot('2.3'));
  });

  it('answers a stale ballot with a nack, after the disk, and changes nothing', () => {
    prepare('2.3');
    const nack = [{ to: 1, message: { kind: 'nack', ballot: ballot('1.1'), promised: ballot('2.3') } }];
    expect(prepare('1.1')).toMatchObject({ sendNow: [], persist: [], send: nack });
    expect(accept('1.1', 1, 'x')).toMatchObject({ sendNow: [], persist: [], send: nack });
    expect(acceptor.voteAt(1)).toBeUndefined();
  });

  it('lets equal ballots pass: their owner retries', () => {
    prepare('2.3');
    const again = prepare('2.3');
    expect(again.persist).toEqual([]);
    expect(again.send).toMatchObject([{ to: 3, message: { kind: 'promise' } }]);
  });

  // Paxos Made Simple, §2.2, phase 2(b). A vote implies the promise of its ballot.
  it('votes, and tells the leader and itself once the vote is on disk', () => {
    const effects = accept('3.1', 5, 'x');
    expect(effects.persist).toEqual([{ kind: 'voted', instance: 5, ballot: ballot('3.1'), value: value('x') }]);
    expect(effects.send.map(({ to }) => to)).toEqual([2, 1]);
    expect(effects.sendNow).toEqual([]);
    expect(acceptor.promised).toEqual(ballot('3.1'));
    expect(acceptor.voteAt(5)?.synced).toBe(false);
    acceptor.synced(ballot('3.1'), 5);
    expect(acceptor.voteAt(5)?.synced).toBe(true);
  });

  it('answers a repeated accept without writing it again', () => {
    accept('3.1', 5, 'x');
    const effects = accept('3.1', 5, 'x');
    expect(effects.persist).toEqual([]);
    expect(effects.send).toMatchObject([{ to: 1, message: { kind: 'accepted', instance: 5 } }]);
  });

  it('does not take an old sync for that of a later vote', () => {
    accept('3.1', 5, 'x');
    accept('4.3', 5, 'y');
    acceptor.synced(ballot('3.1'), 5);
    expect(acceptor.voteAt(5)).toMatchObject({ ballot: ballot('4.3'), synced: false });
  });

  it('stops at a ballot with two values for an instance', () => {
    accept('3.1', 5, 'x');
    expect(() => accept('3.1', 5, 'y')).toThrow('one-value-per-ballot');
  });

  it('leaves out of a promise what it knows to be chosen, and what was not asked for', () => {
    for (const instance of [1, 2, 4]) accept('1.1', instance, 'x');
    expect(promisedVotes(prepare('2.3', 1, 1)).map(({ instance }) => instance)).toEqual([2, 4]);
    expect(promisedVotes(prepare('2.3', 4, 1)).map(({ instance }) => instance)).toEqual([4]);
  });

  it('cuts a promise into pages, marks the last, and never leaves a large vote out', () => {
    const small = new Acceptor(2, 40, outbox);
    for (const [instance, text] of [
      [1, 'a'],
      [2, 'b'],
      [3, 'c'.repeat(500)],
      [4, 'd'],
    ] as const) {
      small.vote(1, ballot('1.1'), instance, value(text), 0);
    }
    outbox.take();
    small.receive(3, { kind: 'prepare', ballot: ballot('2.3'), firstInstance: 1 }, 0);
    const pages = outbox.take().send.flatMap(({ message }) => (message.kind === 'promise' ? [message] : []));
    expect(pages.map(({ page, last, votes }) => [page, last, votes.map(({ instance }) => instance)])).toEqual([
      [0, false, [1, 2]],
      [1, false, [3]],
      [2, true, [4]],
    ]);
  });

  it('is the same after a restart, by the records alone', () => {
    const records = [...prepare('1.1').persist, ...accept('1.1', 1, 'x').persist, ...prepare('2.3').persist];
    const restarted = new Acceptor(2, 1_000, outbox);
    for (const record of records) {
      if (record.kind === 'promised' || record.kind === 'voted') restarted.restore(record);
    }
    expect(restarted.promised).toEqual(ballot('2.3'));
    expect(restarted.voteAt(1)).toEqual({ instance: 1, ballot: ballot('1.1'), value: value('x'), synced: true });
  });

  it('refuses records that would lower its promise', () => {
    acceptor.restore({ kind: 'promised', ballot: ballot('2.3') });
    expect(() => acceptor.restore({ kind: 'promised', ballot: ballot('2.1') })).toThrow('promise-never-decreases');
  });
});
