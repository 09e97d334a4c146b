import { changeTo, foundingOf, type Configuration } from './configuration';
import { Membership } from './membership';

const founding = foundingOf([1, 2, 3].map((replicaId) => ({ replicaId })));
const added: Configuration = {
  version: 1,
  members: [...founding.members, { replicaId: 4, learner: true }],
  highestId: 4,
};
const promoted: Configuration = {
  version: 2,
  members: added.members.map((member) => ({ ...member, learner: false })),
  highestId: 4,
};

describe('Membership', () => {
  it('goes by the founding until the log says otherwise', () => {
    const membership = new Membership(1, { members: [1, 2, 3] });
    expect(membership.current.ids).toEqual([1, 2, 3]);
    membership.delivered(5, changeTo(added));
    expect(membership.current.ids).toEqual([1, 2, 3]);
    expect(membership.current.others).toEqual([2, 3, 4]);
    membership.delivered(6, changeTo(promoted));
    expect(membership.current.ids).toEqual([1, 2, 3, 4]);
    expect(membership.version).toBe(2);
  });

  it('listens to whom it does not know yet, and not to whom it knew', () => {
    const membership = new Membership(1, { members: [1, 2, 3] });
    expect(membership.admits(9)).toBe(true);
    membership.delivered(1, changeTo({ version: 1, members: founding.members.slice(0, 2), highestId: 3 }));
    expect([2, 3, 4].map((id) => membership.admits(id))).toEqual([true, false, true]);
  });

  it('lets a replica that joined lead only once it has read that it votes', () => {
    const told = { ...promoted, version: 3 };
    const membership = new Membership(4, { members: [1, 2, 3], configuration: told, ahead: true });
    expect(membership.current.ids).toEqual([1, 2, 3, 4]);
    membership.delivered(5, changeTo(added));
    membership.delivered(6, changeTo(promoted));
    expect(membership.mayLead).toBe(false);
    membership.delivered(7, changeTo(told));
    expect(membership.mayLead).toBe(true);
  });

  it('refuses to start as somebody that the group does not know', () => {
    expect(() => new Membership(4, { members: [1, 2, 3] })).toThrow('replica-is-a-member');
  });

  it('takes a change that is missing for a broken log', () => {
    const membership = new Membership(1, { members: [1, 2, 3] });
    expect(() => membership.delivered(1, changeTo(promoted))).toThrow('configuration-follows-the-log');
  });

  it('takes two voters at once for a broken log', () => {
    const membership = new Membership(1, { members: [1, 2, 3] });
    const lone = { version: 1, members: founding.members.slice(0, 1), highestId: 3 };
    expect(() => membership.delivered(1, changeTo(lone))).toThrow('one-voter-at-a-time');
  });
});
