import { admit, fateOf, UNDECIDED, type Decision } from './decision';

const committed = (attempt: number, commitTs = 100n): Decision => ({ state: 'committed', attempt, commitTs });
const aborted = (attempt: number): Decision => ({ state: 'aborted', attempt });

describe('admit', () => {
  it('takes any first decision', () => {
    expect(admit(UNDECIDED, committed(1))).toEqual(committed(1));
    expect(admit(UNDECIDED, aborted(3))).toEqual(aborted(3));
  });

  it('never changes a commit, whatever is proposed later', () => {
    for (const proposal of [committed(1, 200n), committed(2), aborted(1), aborted(9)]) {
      expect(admit(committed(1), proposal)).toEqual(committed(1));
    }
  });

  // The client saw "aborted" for attempt 2 and may be running attempt 3: neither 1 nor 2 may come back.
  it('refuses the attempts it has aborted, and admits later ones', () => {
    expect(admit(aborted(2), committed(1))).toEqual(aborted(2));
    expect(admit(aborted(2), committed(2))).toEqual(aborted(2));
    expect(admit(aborted(2), committed(3))).toEqual(committed(3));
    expect(admit(aborted(2), aborted(4))).toEqual(aborted(4));
    expect(admit(aborted(2), aborted(1))).toEqual(aborted(2));
  });

  it('gives the same record to proposers in any order once one of them committed', () => {
    const first = admit(admit(UNDECIDED, committed(1)), aborted(1));
    expect(first).toEqual(committed(1));
    const second = admit(admit(UNDECIDED, aborted(1)), committed(1));
    expect(second).toEqual(aborted(1));
  });
});

describe('fateOf', () => {
  it('says aborted of every attempt but the one that committed', () => {
    expect(fateOf(1, committed(2))).toBe('aborted');
    expect(fateOf(2, committed(2))).toBe('committed');
    expect(fateOf(3, committed(2))).toBe('aborted');
  });

  it('says nothing of an attempt after the one aborted', () => {
    expect(fateOf(2, aborted(1))).toBe('undecided');
    expect(fateOf(1, aborted(1))).toBe('aborted');
    expect(fateOf(1, UNDECIDED)).toBe('undecided');
  });
});
