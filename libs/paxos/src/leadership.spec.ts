import type { Effects } from './effects';
import { stamped } from './fence';
import { Group } from './testing/group';
import { ballot, value } from './testing/values';

function accepts({ sendNow }: Effects): number[] {
  return sendNow.flatMap(({ to, message }) => (message.kind === 'accept' && to === 2 ? [message.instance] : []));
}

describe('a leader', () => {
  it('sends accepts at once, and counts its own vote when that is on disk', () => {
    const group = new Group(3).elect(1);
    const { token, effects } = group.propose(1, 'x');
    expect(effects.sendNow.map(({ to }) => to)).toEqual([2, 3]);
    expect(effects.persist).toMatchObject([{ kind: 'voted', instance: 2 }]);
    expect(effects.send).toMatchObject([{ to: 1, message: { kind: 'accepted', instance: 2 } }]);
    group.runAmong(2, 3);
    group.receive(1, 2, { kind: 'accepted', ballot: ballot('1.1'), instance: 2, chosenThrough: 0 });
    expect(group.outcome(token)).toBeUndefined();
    group.receive(1, 1, { kind: 'accepted', ballot: ballot('1.1'), instance: 2, chosenThrough: 0 });
    expect(group.outcome(token)).toEqual({ token, outcome: 'chosen', instance: 2 });
  });

  it('keeps many instances open, up to its window, and queues up to its bound', () => {
    const group = new Group(3, { windowInstances: 2, queueMax: 1 }).elect(1);
    const proposals = ['a', 'b', 'c', 'd'].map((text) => group.propose(1, text));
    expect(proposals.map(({ effects }) => accepts(effects))).toEqual([[2], [3], [], []]);
    expect(group.settled).toEqual([{ token: proposals[3]!.token, outcome: 'overloaded' }]);
    group.run();
    expect(proposals.slice(0, 3).map(({ token }) => group.outcome(token))).toMatchObject([
      { outcome: 'chosen', instance: 2 },
      { outcome: 'chosen', instance: 3 },
      { outcome: 'chosen', instance: 4 },
    ]);
  });

  it('hands over to a member that knows everything, and refuses for certain what waited', () => {
    const group = new Group(3).elect(1);
    const open = group.propose(1, 'x');
    const transfer = group.transfer(1, 2);
    const late = group.propose(1, 'y');
    expect(accepts(late.effects)).toEqual([]);
    group.run();
    expect(group.replica(2)).toMatchObject({ leads: true, chosenThrough: 3 });
    expect(group.outcome(open.token)).toMatchObject({ outcome: 'chosen' });
    expect(group.outcome(late.token)).toMatchObject({ outcome: 'not-leader' });
    expect(group.outcome(transfer)).toMatchObject({ outcome: 'transferred' });
  });

  // Invariant `handover-is-bounded`.
  it('goes on by itself if nobody takes over in time', () => {
    const group = new Group(3).elect(1);
    const transfer = group.transfer(1, 3);
    group.runAmong(1, 2);
    const { token } = group.propose(1, 'x');
    group.tick(1, 20);
    group.runAmong(1, 2);
    expect(group.outcome(transfer)).toMatchObject({ outcome: 'not-transferred' });
    expect(group.outcome(token)).toMatchObject({ outcome: 'chosen', instance: 2 });
  });

  it('gives one transfer up for the next, needs none to itself, and knows no other member', () => {
    const group = new Group(3).elect(1);
    const tokens = [3, 2, 1, 9].map((to) => group.transfer(1, to));
    expect(tokens.map((token) => group.outcome(token)?.outcome)).toEqual([
      'not-transferred',
      undefined,
      'transferred',
      'not-transferred',
    ]);
    const refused = group.transfer(2, 1);
    expect(group.outcome(refused)).toMatchObject({ outcome: 'not-leader' });
  });

  it('refuses a change that does not follow from the configuration it meets', () => {
    const group = new Group(3).elect(1);
    const [first, second] = [group.change(1, [1, 2]), group.change(1, [1, 3])];
    const { token } = group.propose(1, 'x');
    group.run();
    expect([first, second, token].map((each) => group.outcome(each)?.outcome)).toEqual([
      'chosen',
      'conflict',
      'chosen',
    ]);
    expect(group.replica(2).configuration.members.map(({ replicaId }) => replicaId)).toEqual([1, 2]);
    expect(group.step(2, { kind: 'change', token: 99, configuration: group.replica(2).configuration }).settled).toEqual(
      [{ token: 99, outcome: 'not-leader' }],
    );
  });

  it('counts each instance with the configuration of that instance', () => {
    const group = new Group(3).elect(1);
    group.change(1, [1, 2, 3, 4]);
    group.runAmong(1, 2);
    const { token } = group.propose(1, 'x');
    group.runAmong(1, 2);
    expect(group.outcome(token)).toBeUndefined(); // Two of four.
    group.tick(1, 5);
    group.runAmong(1, 2, 3);
    expect(group.outcome(token)).toMatchObject({ outcome: 'chosen' });
  });

  it('steps down if its own vote does not reach its disk in time, whatever the others answer', () => {
    const group = new Group(3).elect(1);
    const { token } = group.propose(1, 'x');
    for (let tick = 1; tick <= 20; tick++) {
      const { token: read } = group.read(1);
      // Nothing that waits for the disk of 1 comes back; the others vote and confirm.
      group.run(({ from, to, message }) => !(from === 1 && to === 1 && message.kind === 'accepted'));
      expect(group.outcome(read)).toMatchObject({ outcome: 'read-ready' });
      expect(group.replica(1).role).toBe('leader');
      group.tick(1);
    }
    expect(group.replica(1).role).toBe('follower');
    expect(group.outcome(token)).toMatchObject({ outcome: 'unknown' });
  });

  it('settles in order, however the votes come in', () => {
    const group = new Group(3).elect(1);
    const [a, b] = [group.propose(1, 'a'), group.propose(1, 'b')];
    group.run(({ message }) => !('instance' in message) || message.instance === 3);
    expect(group.settled).toEqual([]);
    group.tick(1, 5);
    group.receive(1, 1, { kind: 'accepted', ballot: ballot('1.1'), instance: 2, chosenThrough: 0 });
    group.run();
    expect(group.settled.map(({ token }) => token)).toEqual([a.token, b.token]);
  });

  it('does not count votes of its earlier ballots', () => {
    const group = new Group(3).elect(1);
    group.receive(1, 2, { kind: 'nack', ballot: ballot('1.1'), promised: ballot('4.2') });
    group.elect(1);
    expect(group.replica(1)).toMatchObject({ leads: true, promised: ballot('5.1') });
    const { token } = group.propose(1, 'y');
    group.runAmong(1);
    group.receive(1, 2, { kind: 'accepted', ballot: ballot('1.1'), instance: 3, chosenThrough: 0 });
    expect(group.outcome(token)).toBeUndefined();
    group.receive(1, 2, { kind: 'accepted', ballot: ballot('5.1'), instance: 3, chosenThrough: 0 });
    expect(group.outcome(token)).toMatchObject({ outcome: 'chosen' });
  });

  it('carries the watermark on the next accept, and tells it by itself when none is due', () => {
    const group = new Group(3).elect(1);
    group.propose(1, 'a');
    group.propose(1, 'b');
    group.runAmong(1, 2);
    expect(group.replica(2).chosenThrough).toBe(3);
    const { effects } = group.propose(1, 'c');
    expect(effects.sendNow.map(({ message }) => message)).toEqual(
      [2, 3].map(() => ({
        kind: 'accept',
        ballot: ballot('1.1'),
        instance: 4,
        value: stamped(value('c'), ballot('1.1')),
        chosenThrough: 3,
      })),
    );
  });

  it('repeats the watermark to those who have not heard it, and is then at rest', () => {
    const group = new Group(3).elect(1);
    group.propose(1, 'a');
    group.run(({ message }) => message.kind !== 'chosen');
    expect(group.replica(1).restless).toBe(true);
    group.tick(1, 5);
    expect(group.pool.map(({ to, message }) => [to, message.kind])).toEqual([
      [2, 'chosen'],
      [3, 'chosen'],
    ]);
    group.run();
    expect(group.replicas.map(({ chosenThrough }) => chosenThrough)).toEqual([2, 2, 2]);
    expect(group.replicas.map(({ restless }) => restless)).toEqual([false, false, false]);
  });

  it('goes on while a majority answers, however long', () => {
    const group = new Group(3, { electionTicks: 4, retransmitTicks: 2 }).elect(1);
    for (let round = 0; round < 10; round++) {
      group.propose(1, 'x');
      group.runAmong(1, 2);
      group.tick(1, 2);
      group.runAmong(1, 2);
    }
    expect(group.replica(1).leads).toBe(true);
  });

  // A heartbeat proves only that a node lives: what counts is answers to accepts and confirms.
  it('steps down when no majority answers its accepts, whatever else it hears', () => {
    const group = new Group(5, { electionTicks: 4, retransmitTicks: 2 }).elect(1);
    const { token } = group.propose(1, 'x');
    for (let tick = 0; tick < 4; tick++) {
      group.run(({ message }) => message.kind !== 'accept');
      for (const from of [2, 3, 4, 5]) {
        group.receive(1, from, { kind: 'chosen-reply', ballot: ballot('1.1'), chosenThrough: 0 });
      }
      group.tick(1);
    }
    expect(group.replica(1).role).toBe('follower');
    expect(group.outcome(token)).toEqual({ token, outcome: 'unknown' });
  });

  it('steps down when no majority confirms its reads', () => {
    const group = new Group(3, { electionTicks: 4 }).elect(1);
    const { token } = group.read(1);
    group.pool = [];
    group.tick(1, 4);
    expect(group.replica(1).role).toBe('follower');
    expect(group.outcome(token)).toEqual({ token, outcome: 'not-leader' });
  });

  it('is deposed by any message of a higher ballot', () => {
    const depose: ((group: Group) => void)[] = [
      (group) => group.receive(1, 2, { kind: 'nack', ballot: ballot('1.1'), promised: ballot('2.3') }),
      (group) => group.receive(1, 3, { kind: 'prepare', ballot: ballot('2.3'), firstInstance: 1 }),
      (group) => group.receive(1, 3, { kind: 'chosen', ballot: ballot('2.3'), chosenThrough: 0 }),
      (group) => group.receive(1, 3, { kind: 'confirm', ballot: ballot('2.3'), round: 1 }),
      (group) => group.step(1, { kind: 'led-by', ballot: ballot('2.3'), chosenThrough: 0 }),
      (group) =>
        group.receive(1, 3, {
          kind: 'accept',
          ballot: ballot('2.3'),
          instance: 1,
          value: value('y'),
          chosenThrough: 0,
        }),
    ];
    for (const how of depose) {
      const group = new Group(3, { windowInstances: 1 }).elect(1);
      const tokens = [group.propose(1, 'sent').token, group.propose(1, 'queued').token, group.read(1).token];
      how(group);
      expect(group.replica(1).role).toBe('follower');
      expect(tokens.map((token) => group.outcome(token)?.outcome)).toEqual(['unknown', 'not-leader', 'not-leader']);
    }
  });

  it('serves neither reads nor proposals before what phase 1 found is chosen', () => {
    const group = new Group(3).elect(1);
    group.propose(1, 'x');
    group.run(({ from, to }) => from === 1 && to === 2);
    for (const id of [2, 3]) group.step(id, { kind: 'leader-lost' });
    group.pool = group.pool.filter(({ from, message }) => from === 3 || message.kind !== 'probe');
    group.run(({ from, to, message }) => from !== 1 && to !== 1 && message.kind !== 'accept');
    expect(group.replica(3)).toMatchObject({ role: 'leader', leads: false });
    const [read, proposal] = [group.read(3), group.propose(3, 'y')];
    expect(read.effects.sendNow).toEqual([]);
    expect(proposal.effects.sendNow).toEqual([]);
    group.tick(3, 5);
    group.runAmong(2, 3);
    expect(group.replica(3).leads).toBe(true);
    expect(group.outcome(read.token)).toEqual({ token: read.token, outcome: 'read-ready', instance: 3 });
    expect(group.outcome(proposal.token)).toEqual({ token: proposal.token, outcome: 'chosen', instance: 4 });
  });

  it('believes no peer about instances above those its quorum knew', () => {
    const group = new Group(3).elect(1);
    const entries = [{ instance: 2, value: value('y') }];
    expect(group.receive(1, 3, { kind: 'catch-up-reply', entries, chosenThrough: 2 }).persist).toEqual([]);
    const { token } = group.propose(1, 'x');
    group.runAmong(1, 2);
    expect(group.outcome(token)).toMatchObject({ outcome: 'chosen', instance: 2 });
  });

  // Its log holds a learned value above an instance that its store fell back behind.
  it('passes over instances that it knew to be chosen before its own votes for them came in', () => {
    const votes = [1, 2].map((instance) => ({
      kind: 'voted' as const,
      instance,
      ballot: ballot('1.3'),
      value: value(`v${instance}`),
    }));
    const learned = { kind: 'learned', instance: 2, value: value('v2') } as const;
    const group = new Group(3, {}, [[votes[0]!, learned], votes, votes]).elect(1);
    expect(group.replica(1)).toMatchObject({ leads: true, chosenThrough: 3 });
    const { token } = group.propose(1, 'x');
    group.run();
    expect(group.outcome(token)).toMatchObject({ outcome: 'chosen', instance: 4 });
  });

  it('proposes nothing where it learned what is chosen since it promised', () => {
    const group = new Group(3);
    for (const id of [1, 2]) group.step(id, { kind: 'leader-lost' });
    group.run(({ to, message }) => to === 1 && message.kind === 'probe');
    group.receive(1, 2, {
      kind: 'probe-reply',
      ballot: ballot('1.1'),
      granted: true,
      promised: ballot('0.0'),
      chosenThrough: 0,
    });
    group.run(({ from, to }) => from === 1 && to === 1);
    const entries = [{ instance: 1, value: value('chosen') }];
    group.receive(1, 3, { kind: 'catch-up-reply', entries, chosenThrough: 1 });
    const votes = [{ instance: 1, ballot: ballot('0.3'), value: value('lost') }];
    const { persist } = group.receive(1, 2, {
      kind: 'promise',
      ballot: ballot('1.1'),
      firstInstance: 1,
      page: 0,
      last: true,
      votes,
      chosenThrough: 0,
    });
    expect(group.replica(1).role).toBe('leader');
    expect(persist).toEqual([]);
  });

  it('gives up its ballot if what its quorum knows cannot be fetched', () => {
    const group = new Group(3, { electionTicks: 4 }).elect(1);
    group.propose(1, 'x');
    group.runAmong(1, 2);
    for (const id of [2, 3]) group.step(id, { kind: 'leader-lost' });
    group.pool = group.pool.filter(({ from, message }) => from === 3 || message.kind !== 'probe');
    group.run(({ from, to, message }) => from !== 1 && to !== 1 && message.kind !== 'catch-up-reply');
    expect(group.replica(3)).toMatchObject({ role: 'leader', leads: false, restless: true });
    group.tick(3, 4);
    expect(group.replica(3).role).toBe('follower');
  });
});
