import { Members, NO_ANSWERS } from './members';

describe('Members', () => {
  // Lamport, "Paxos Made Simple", §2.2: any two quorums share an acceptor.
  it.each([
    [1, 1],
    [2, 2],
    [3, 2],
    [4, 3],
    [5, 3],
    [7, 4],
  ])('of %i needs %i for a quorum', (count, quorum) => {
    const ids = Array.from({ length: count }, (_, index) => index + 1);
    const members = new Members(1, ids);
    let answers = NO_ANSWERS;
    for (const id of ids) {
      answers = members.with(answers, id);
      expect(members.isQuorum(answers)).toBe(id >= quorum);
    }
  });

  it('counts a member once, and a stranger never', () => {
    const members = new Members(1, [1, 2, 3]);
    expect(members.isQuorum(members.with(members.with(NO_ANSWERS, 2), 2))).toBe(false);
    expect(members.with(NO_ANSWERS, 9)).toBe(NO_ANSWERS);
    expect(members.answered(members.with(NO_ANSWERS, 3), 3)).toBe(true);
    expect(members.answered(members.with(NO_ANSWERS, 3), 2)).toBe(false);
  });

  it('goes round the others, and knows none when alone', () => {
    const members = new Members(2, [1, 2, 3]);
    expect(members.otherAfter(1)).toBe(3);
    expect(members.otherAfter(3)).toBe(1);
    expect(new Members(1, [1]).otherAfter(1)).toBeUndefined();
  });

  it('refuses a member twice, or one that votes and learns', () => {
    expect(() => new Members(1, [1, 2, 2])).toThrow('members-are-distinct');
    expect(() => new Members(1, [1, 2], [2])).toThrow('learners-never-count');
  });
});
