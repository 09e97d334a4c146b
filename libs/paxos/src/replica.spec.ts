import { foundingOf } from './configuration';
import { Replica } from './replica';
import { Group } from './testing/group';
import { ballot, value } from './testing/values';

const configuration = foundingOf([{ replicaId: 1 }, { replicaId: 2 }, { replicaId: 3 }]);

describe('Replica', () => {
  it('elects a leader, who tells everyone', () => {
    const group = new Group(3).elect(2);
    expect(group.replicas.map(({ role }) => role)).toEqual(['follower', 'leader', 'follower']);
    expect(group.replicas.map(({ leaderBallot }) => leaderBallot)).toEqual([1, 2, 3].map(() => ballot('1.2')));
    expect(group.replicas.map(({ restless }) => restless)).toEqual([false, false, false]);
  });

  it('elects itself when alone', () => {
    const group = new Group(1);
    group.step(1, { kind: 'leader-lost' });
    group.run();
    expect(group.replica(1).leads).toBe(true);
    const { token } = group.propose(1, 'x');
    group.run();
    expect(group.outcome(token)).toMatchObject({ outcome: 'chosen', instance: 2 });
    expect(group.replica(1).restless).toBe(false);
  });

  it('refuses proposals and reads unless it leads or is about to', () => {
    const group = new Group(3).elect(2);
    const tokens = [group.propose(1, 'x').token, group.read(1).token];
    expect(tokens.map((token) => group.outcome(token)?.outcome)).toEqual(['not-leader', 'not-leader']);
  });

  describe('as a candidate', () => {
    it('queues what it is asked, and refuses it when it finds no support', () => {
      const group = new Group(3, { electionTicks: 3 });
      group.step(1, { kind: 'leader-lost' });
      const tokens = [group.propose(1, 'x').token, group.read(1).token];
      expect(group.settled).toEqual([]);
      group.tick(1, 3);
      expect(tokens.map((token) => group.outcome(token)?.outcome)).toEqual(['not-leader', 'not-leader']);
      expect(group.replica(1)).toMatchObject({ role: 'follower', restless: false });
    });

    it('campaigns above every ballot it has heard of, with a record before the prepare', () => {
      const group = new Group(3);
      group.receive(1, 2, { kind: 'nack', ballot: ballot('1.1'), promised: ballot('8.2') });
      group.step(1, { kind: 'leader-lost' });
      const grant = {
        kind: 'probe-reply',
        ballot: ballot('9.1'),
        granted: true,
        promised: ballot('8.2'),
        chosenThrough: 0,
      } as const;
      const effects = group.receive(1, 2, grant);
      expect(effects.sendNow).toEqual([]);
      expect(effects.persist).toEqual([{ kind: 'promised', ballot: ballot('9.1') }]);
      expect(effects.send.map(({ message }) => message.kind)).toEqual(['prepare', 'prepare', 'prepare']);
    });

    it('never uses a round twice, whatever it crashed in', () => {
      const group = new Group(3);
      group.elect(1);
      const restarted = new Replica({ self: 1, members: [1, 2, 3] });
      restarted.restore({ kind: 'promised', ballot: ballot('1.1') });
      restarted.restored(0);
      const effects = restarted.step({ kind: 'leader-lost' });
      expect(effects.sendNow[0]?.message).toEqual({ kind: 'probe', ballot: ballot('2.1') });
    });

    it('gives way to a leader that is alive after all', () => {
      const group = new Group(3).elect(2);
      group.step(1, { kind: 'leader-lost' });
      group.pool = [];
      group.propose(2, 'x');
      group.run();
      expect(group.replica(1)).toMatchObject({ role: 'follower', leaderBallot: ballot('1.2'), chosenThrough: 2 });
    });

    it('counts no promise of another of its ballots', () => {
      const group = new Group(3, {}, [[{ kind: 'promised', ballot: ballot('4.1') }]]);
      group.step(1, { kind: 'leader-lost' });
      group.receive(1, 2, {
        kind: 'probe-reply',
        ballot: ballot('5.1'),
        granted: true,
        promised: ballot('4.1'),
        chosenThrough: 0,
      });
      group.runAmong(1);
      const promise = { kind: 'promise', firstInstance: 1, page: 0, last: true, votes: [], chosenThrough: 0 } as const;
      group.receive(1, 2, { ...promise, ballot: ballot('4.1') });
      expect(group.replica(1).role).toBe('candidate');
      group.receive(1, 2, { ...promise, ballot: ballot('5.1') });
      expect(group.replica(1).role).toBe('leader');
    });

    it('steps down on a nack', () => {
      const group = new Group(3);
      group.step(1, { kind: 'leader-lost' });
      group.step(2, { kind: 'leader-lost' });
      group.run(({ message }) => message.kind.startsWith('probe'));
      expect(group.replica(1).role).toBe('candidate');
      group.receive(1, 3, { kind: 'nack', ballot: ballot('1.1'), promised: ballot('7.3') });
      expect(group.replica(1).role).toBe('follower');
    });
  });

  describe('asked for support', () => {
    function granted(group: Group, to: number, from: number, by: string): boolean {
      const { sendNow } = group.receive(to, from, { kind: 'probe', ballot: ballot(by) });
      return sendNow.some(({ message }) => message.kind === 'probe-reply' && message.granted);
    }

    it('refuses while it hears its leader, unless the leader itself asks', () => {
      const group = new Group(3).elect(2);
      expect(granted(group, 1, 3, '5.3')).toBe(false);
      expect(granted(group, 2, 3, '5.3')).toBe(false);
      expect(granted(group, 1, 2, '5.2')).toBe(true);
    });

    it('grants once it has lost its leader, to a ballot above its promise', () => {
      const group = new Group(3).elect(2);
      group.step(1, { kind: 'leader-lost' });
      expect(granted(group, 1, 3, '1.2')).toBe(false);
      expect(granted(group, 1, 3, '1.3')).toBe(true);
      expect(group.replica(1).promised).toEqual(ballot('1.2')); // Asking changes nothing.
    });
  });

  describe('told who leads', () => {
    it('follows, and fetches what it misses', () => {
      const group = new Group(3).elect(2);
      group.propose(2, 'x');
      group.runAmong(2, 3);
      group.step(1, { kind: 'led-by', ballot: ballot('1.2'), chosenThrough: 2 });
      expect(group.replica(1)).toMatchObject({ chosenThrough: 1, restless: true });
      group.run();
      expect(group.replica(1)).toMatchObject({ chosenThrough: 2, restless: false, leaderBallot: ballot('1.2') });
    });

    it('deposes a leader of a lower ballot than it has promised', () => {
      const group = new Group(3).elect(2);
      group.elect(3, 1, 3);
      group.step(1, { kind: 'led-by', ballot: ballot('1.2'), chosenThrough: 0 });
      expect(group.pool).toMatchObject([{ to: 2, message: { kind: 'nack', promised: { replica: 3 } } }]);
      group.run();
      expect(group.replica(2).role).toBe('follower');
    });
  });

  describe('hears without harm', () => {
    it('a replica that was removed', () => {
      const group = new Group(3).elect(1);
      group.change(1, [1, 2]);
      group.run();
      expect(group.receive(2, 3, { kind: 'prepare', ballot: ballot('5.3'), firstInstance: 1 }).send).toEqual([]);
      group.step(2, { kind: 'led-by', ballot: ballot('5.3'), chosenThrough: 7 });
      expect(group.replica(2)).toMatchObject({ leaderBallot: ballot('1.1'), restless: false });
    });

    it('a ballot from a replica that does not own it', () => {
      const group = new Group(3).elect(2);
      group.receive(1, 3, { kind: 'prepare', ballot: ballot('5.2'), firstInstance: 1 });
      group.receive(1, 3, { kind: 'accept', ballot: ballot('1.2'), instance: 1, value: value('y'), chosenThrough: 0 });
      group.receive(1, 3, { kind: 'chosen', ballot: ballot('5.2'), chosenThrough: 4 });
      expect(group.replica(1)).toMatchObject({ promised: ballot('1.2'), leaderBallot: ballot('1.2'), restless: false });
    });

    it('answers to questions of another role', () => {
      const group = new Group(3).elect(2);
      const own = ballot('1.2');
      group.receive(1, 2, {
        kind: 'promise',
        ballot: own,
        firstInstance: 1,
        page: 0,
        last: true,
        votes: [],
        chosenThrough: 0,
      });
      group.receive(1, 2, { kind: 'accepted', ballot: own, instance: 1, chosenThrough: 0 });
      group.receive(1, 2, { kind: 'confirmed', ballot: own, round: 1 });
      group.receive(1, 2, { kind: 'probe-reply', ballot: own, granted: true, promised: own, chosenThrough: 0 });
      group.receive(2, 1, {
        kind: 'promise',
        ballot: own,
        firstInstance: 1,
        page: 0,
        last: true,
        votes: [],
        chosenThrough: 9,
      });
      expect(group.replicas.map(({ role }) => role)).toEqual(['follower', 'leader', 'follower']);
      expect(group.replica(2).chosenThrough).toBe(1); // Its own value.
    });
  });

  it('asks all its peers in turn for what it misses', () => {
    const group = new Group(4, { retransmitTicks: 1 });
    group.step(1, { kind: 'led-by', ballot: ballot('1.2'), chosenThrough: 3 });
    group.tick(1, 3);
    expect(group.pool.map(({ to, message }) => [to, message.kind])).toEqual([2, 3, 4, 2].map((to) => [to, 'catch-up']));
  });

  it('catches up over many pages', () => {
    const group = new Group(3, { pageBytes: 1 }).elect(2);
    for (let count = 0; count < 20; count++) group.propose(2, 'x');
    group.runAmong(2, 3);
    group.step(1, { kind: 'led-by', ballot: ballot('1.2'), chosenThrough: 21 });
    group.run();
    expect(group.replica(1).chosenThrough).toBe(21);
  });

  it('does nothing on a tick when it wants none', () => {
    const group = new Group(3).elect(2);
    for (const id of [1, 2, 3]) expect(group.step(id, { kind: 'tick' }).sendNow).toEqual([]);
  });

  describe('as a leader behind what its quorum has forgotten', () => {
    /** r3 leads with the promise of r2, which knows three instances and has forgotten all of them. */
    function behind(): Group {
      const group = new Group(3, { tailInstances: 0 }).elect(1);
      group.propose(1, 'a');
      group.propose(1, 'b');
      group.runAmong(1, 2);
      group.step(2, { kind: 'truncate', flushedThrough: 3 });
      group.elect(3, 2, 3);
      expect(group.replica(3)).toMatchObject({ role: 'leader', leads: false, chosenThrough: 1 });
      return group;
    }

    it('serves once a snapshot has brought it to its floor', () => {
      const group = behind();
      const { token } = group.read(3);
      group.step(3, { kind: 'snapshot-installed', through: 3, term: ballot('1.1'), configuration });
      group.runAmong(2, 3);
      expect(group.outcome(token)).toMatchObject({ outcome: 'read-ready', instance: 4 });
    });

    it('steps down when a snapshot takes it beyond: above its floor it may believe its own ballot alone', () => {
      const group = behind();
      group.step(3, { kind: 'snapshot-installed', through: 4, term: ballot('1.1'), configuration });
      expect(group.replica(3)).toMatchObject({ role: 'follower', chosenThrough: 4 });
    });
  });

  // Invariant `votes-above-a-gap-are-bounded`.
  it('gives no more votes than fit while it is behind, and votes on when it has caught up', () => {
    const replica = new Replica({ self: 3, members: [1, 2, 3], behindBytes: 1_000 });
    replica.restored(0);
    const accept = (instance: number, chosenThrough: number): string[] =>
      replica
        .step({
          kind: 'receive',
          from: 1,
          message: { kind: 'accept', ballot: ballot('1.1'), instance, value: value('x'.repeat(300)), chosenThrough },
        })
        .send.filter(({ to }) => to === 1)
        .map(({ message }) => message.kind);
    // It missed the first ten, and the leader has forgotten them.
    const answers = Array.from({ length: 8 }, (_, index) => accept(11 + index, 10 + index));
    expect(answers.filter((kinds) => kinds.includes('accepted'))).toHaveLength(4);
    expect(replica.recordsAbove(0).map((record) => 'instance' in record && record.instance)).toEqual([11, 12, 13, 14]);
    replica.step({ kind: 'snapshot-installed', through: 17, term: ballot('1.1'), configuration });
    expect(accept(18, 17)).toEqual(['accepted']);
  });

  it('refuses to go on from a store that holds less than the log has given up', () => {
    const replica = new Replica({ self: 1, members: [1, 2, 3] });
    replica.restore({ kind: 'truncated', through: 5 });
    expect(() => replica.restored(4)).toThrow('truncated-is-applied');
  });

  // The store may fall back to before the snapshot: then the votes below it count again, and only the old records have them.
  it('does not let its old records go for what it forgot because of a snapshot', () => {
    const replica = new Replica({ self: 1, members: [1, 2, 3] });
    replica.restore({ kind: 'voted', instance: 2, ballot: ballot('1.2'), value: value('x') });
    replica.restored(0);
    replica.step({ kind: 'snapshot-installed', through: 5, term: ballot('1.2'), configuration });
    expect(() => replica.recordsAbove(0)).toThrow('forgotten-is-not-said-again');
    expect(replica.recordsAbove(5)).toEqual([]);
  });

  it('needs no log of what its store got by snapshot', () => {
    const replica = new Replica({ self: 1, members: [1, 2, 3] });
    replica.restored(7, 7);
    expect(replica).toMatchObject({ chosenThrough: 7, truncatedThrough: 7 });
  });
});
