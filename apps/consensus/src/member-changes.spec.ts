import { foundingOf } from '@synod/paxos';
import type { GroupConfiguration, GroupMember } from '@synod/replication';
import { nextConfiguration, type MemberOperation, type MemberView } from './member-changes';

const founding: GroupConfiguration = foundingOf(
  [1, 2, 3].map((replicaId) => ({ replicaId, nodeId: `n${replicaId}`, incarnation: `d${replicaId}` })),
);

/** Everybody is connected and has everything, unless the test says otherwise. */
function view(configuration: GroupConfiguration, others: Partial<MemberView> = {}): MemberView {
  return {
    configuration,
    addressOf: ({ address, nodeId }) => address ?? `${nodeId}:2380`,
    isConnected: ({ nodeId }) => nodeId !== undefined,
    chosenThrough: 1_000,
    progressOf: () => 1_000,
    strict: true,
    ...others,
  };
}

function after(configuration: GroupConfiguration, ...operations: MemberOperation[]): GroupConfiguration {
  return operations.reduce((current, operation) => nextConfiguration(view(current), operation), configuration);
}

const down =
  (...ids: number[]) =>
  ({ replicaId, nodeId }: GroupMember): boolean =>
    nodeId !== undefined && !ids.includes(replicaId);

const learner = { kind: 'add', address: 'n4:2380', learner: true } as const;
const voter = { ...learner, learner: false };
const taken = { kind: 'take', address: 'n4:2380', nodeId: 'n4', incarnation: 'd4' } as const;

describe('the members after', () => {
  it('a learner was added, took its place and was promoted; with everybody’s address written down', () => {
    const { version, members, highestId } = after(founding, learner, taken, { kind: 'promote', replicaId: 4 });
    expect({ version, highestId }).toEqual({ version: 3, highestId: 4 });
    expect(members.at(-1)).toEqual({
      replicaId: 4,
      learner: false,
      address: 'n4:2380',
      nodeId: 'n4',
      incarnation: 'd4',
    });
    expect(members.map(({ address }) => address)).toEqual(['n1:2380', 'n2:2380', 'n3:2380', 'n4:2380']);
  });

  it('one went and came back: under another id', () => {
    const gone = after(founding, { kind: 'remove', replicaId: 3 });
    const back = after(gone, { kind: 'add', address: 'n3:2380', learner: false });
    expect(back.members.map(({ replicaId }) => replicaId)).toEqual([1, 2, 4]);
  });

  // etcd#21667: nothing could be added while one of three was down, so that a lost member could not be replaced.
  it('a learner was added while one is down', () => {
    const { members } = nextConfiguration(view(founding, { isConnected: down(2) }), learner);
    expect(members.at(-1)).toMatchObject({ replicaId: 4, learner: true });
  });

  // etcd#21736: a learner that was moved voted from then on.
  it('a learner moved, and learns on', () => {
    const { members } = after(founding, learner, taken, { kind: 'update', replicaId: 4, address: 'elsewhere:1' });
    expect(members.at(-1)).toMatchObject({ address: 'elsewhere:1', learner: true, nodeId: 'n4' });
  });

  it('a second one joined a cluster of one', () => {
    const alone = foundingOf([founding.members[0]!]);
    expect(after(alone, voter).members).toHaveLength(2);
  });

  it('one moved', () => {
    const { members } = after(founding, { kind: 'update', replicaId: 2, address: 'elsewhere:1' });
    expect(members[1]).toMatchObject({ nodeId: 'n2', address: 'elsewhere:1', learner: false });
  });

  it('one lost its disk and came back: as a learner under another id, that is to vote again', () => {
    const lost = { kind: 'take', address: 'n3:2380', nodeId: 'n3', incarnation: 'new' } as const;
    const back = nextConfiguration(view(founding, { isConnected: down(3) }), lost);
    const place = { replicaId: 4, nodeId: 'n3', incarnation: 'new', address: 'n3:2380' };
    expect(back.members.at(-1)).toEqual({ ...place, learner: true, returns: true });
    expect(back.members.map(({ replicaId }) => replicaId)).toEqual([1, 2, 4]);
    expect(after(back, { kind: 'promote', replicaId: 4 }).members.at(-1)).toEqual({ ...place, learner: false });
    expect(after(back, lost)).toBe(back);

    // Again before it has caught up, and a learner that is nothing else.
    const again = nextConfiguration(view(back, { isConnected: down(4) }), { ...lost, incarnation: 'newer' });
    expect(again.members.at(-1)).toMatchObject({ replicaId: 5, learner: true, returns: true });
    const learns = after(founding, learner, taken);
    const anew = nextConfiguration(view(learns, { isConnected: down(4) }), { ...taken, incarnation: 'new' });
    expect(anew.members.at(-1)).not.toHaveProperty('returns');
  });

  it('a node that lost the answer asked for its place again', () => {
    const once = after(founding, learner, taken);
    expect(after(once, taken)).toBe(once);
  });
});

describe('refused', () => {
  const cases: [string, string, MemberOperation, MemberView][] = [
    ['an address in use', 'Peer URLs already exists', { ...learner, address: 'n2:2380' }, view(founding)],
    ['a second learner', 'too many learner', { ...learner, address: 'n5:1' }, view(after(founding, learner))],
    ['one who is not there', 'member not found', { kind: 'remove', replicaId: 9 }, view(founding)],
    ['promoting a voter', 'can only promote a learner member', { kind: 'promote', replicaId: 1 }, view(founding)],
    ['promoting nobody', 'in sync with leader', { kind: 'promote', replicaId: 4 }, view(after(founding, learner))],
    [
      'promoting a learner that is behind',
      'in sync with leader',
      { kind: 'promote', replicaId: 4 },
      view(after(founding, learner, taken), { progressOf: () => 700 }),
    ],
    [
      'promoting a learner that told nothing yet, in a short log',
      'in sync with leader',
      { kind: 'promote', replicaId: 4 },
      view(after(founding, learner, taken), { chosenThrough: 75, progressOf: () => 0 }),
    ],
    [
      'moving onto another',
      'Peer URLs already exists',
      { kind: 'update', replicaId: 1, address: 'n2:2380' },
      view(founding),
    ],
    ['adding a voter while one is down', 'unhealthy cluster', voter, view(founding, { isConnected: down(2) })],
    [
      'adding a voter beside two that never started',
      'not enough started',
      voter,
      view({ ...founding, members: [...founding.members.slice(0, 2), { replicaId: 4, learner: false, address: 'a' }] }),
    ],
    [
      'removing one of two that are left',
      'unhealthy cluster',
      { kind: 'remove', replicaId: 1 },
      view(founding, { isConnected: down(2) }),
    ],
    [
      'removing the last',
      'not enough started',
      { kind: 'remove', replicaId: 1 },
      view(foundingOf([founding.members[0]!])),
    ],
    [
      'removing one beside those that never started',
      'not enough started',
      { kind: 'remove', replicaId: 1 },
      view({ ...founding, members: [...founding.members.slice(0, 1), { replicaId: 4, learner: false, address: 'a' }] }),
    ],
    [
      'the place of a member that runs',
      'already exist',
      { ...taken, incarnation: 'other' },
      view(after(founding, learner, taken)),
    ],
    ['a name of another member', 'already exist', { ...taken, nodeId: 'n1' }, view(after(founding, learner))],
    ['a place that is not there', 'member not found', taken, view(founding)],
  ];

  it.each(cases)('%s', (_, text, operation, seen) => {
    expect(() => nextConfiguration(seen, operation)).toThrow(text);
  });

  it('without a strict check only what would leave nobody', () => {
    const lax = { strict: false, isConnected: down(2) };
    expect(nextConfiguration(view(founding, lax), voter).members).toHaveLength(4);
    expect(nextConfiguration(view(founding, lax), { kind: 'remove', replicaId: 1 }).members).toHaveLength(2);
    const last = view(foundingOf([founding.members[0]!]), lax);
    expect(() => nextConfiguration(last, { kind: 'remove', replicaId: 1 })).toThrow('not enough started');
  });

  it('but not removing one who is down anyway', () => {
    const seen = view(founding, { isConnected: down(3) });
    expect(nextConfiguration(seen, { kind: 'remove', replicaId: 3 }).members).toHaveLength(2);
  });
});
