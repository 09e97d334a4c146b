import { LeaderLease, leaseTerms } from './leader-lease';
import { Members } from './members';

const TERMS = { holdUs: 1_000, termUs: 800 };

describe('LeaderLease', () => {
  let membership: { current: Members; version: number };
  let lease: LeaderLease;

  beforeEach(() => {
    membership = { current: new Members(1, [1, 2, 3, 4, 5], [6]), version: 0 };
    lease = new LeaderLease(TERMS, membership);
  });

  // Gray & Cheriton, "Leases", §3.1: the term counts from before the request left, whenever the answers come.
  it('begins when its round was sent, once a quorum has granted it, and ends by the clock', () => {
    lease.ask(1, 100);
    lease.granted(2, 1);
    lease.granted(2, 1);
    expect(lease.endUs(100)).toBeUndefined();
    lease.granted(5, 1);
    expect(lease.endUs(100)).toBe(900);
    expect(lease.endUs(899)).toBe(900);
    expect(lease.endUs(900)).toBeUndefined();
  });

  it('counts neither learners nor answers to another round', () => {
    lease.ask(1, 100);
    lease.ask(2, 500);
    lease.granted(2, 1);
    lease.granted(3, 1);
    lease.granted(6, 2);
    lease.granted(2, 2);
    expect(lease.endUs(500)).toBeUndefined();
    lease.granted(3, 2);
    expect(lease.endUs(500)).toBe(1_300);
  });

  it('goes on while it is renewed, and is worth renewing in its second half', () => {
    lease.ask(1, 0);
    for (const from of [2, 3]) lease.granted(from, 1);
    expect(lease.isAging(400)).toBe(false);
    expect(lease.isAging(401)).toBe(true);
    lease.ask(2, 500);
    expect(lease.endUs(799)).toBe(800);
    for (const from of [2, 3]) lease.granted(from, 2);
    expect(lease.endUs(799)).toBe(1_300);
  });

  // Quorums of configurations that are two changes apart need not meet (decision 0010).
  it('is void under another configuration than the one it was asked under', () => {
    lease.ask(1, 0);
    for (const from of [2, 3]) lease.granted(from, 1);
    lease.ask(2, 100);
    membership.current = new Members(1, [1, 2, 3, 4]);
    membership.version = 1;
    expect(lease.endUs(200)).toBeUndefined();
    for (const from of [2, 3, 4]) lease.granted(from, 2);
    expect(lease.endUs(200)).toBeUndefined();
  });

  it('is over at once when it is given up, answers on their way included', () => {
    lease.ask(1, 0);
    for (const from of [2, 3]) lease.granted(from, 1);
    lease.ask(2, 100);
    lease.granted(2, 2);
    lease.release();
    lease.granted(3, 2);
    expect(lease.endUs(200)).toBeUndefined();
  });
});

describe('leaseTerms', () => {
  it.each([0, 200, 100_000, 500_000])(
    'ends on the slowest clock before the hold ends on the fastest (%i ppm)',
    (ppm) => {
      const { holdUs, termUs } = leaseTerms(1_000_000, ppm);
      const drift = ppm / 1_000_000;
      expect(termUs / (1 - drift)).toBeLessThanOrEqual(holdUs / (1 + drift) + 1e-6);
      expect((termUs + 1) / (1 - drift)).toBeGreaterThan(holdUs / (1 + drift));
    },
  );

  it('has no terms for clocks that may stand still', () => {
    expect(() => leaseTerms(1_000_000, 1_000_000)).toThrow('lease-within-the-hold');
  });
});
