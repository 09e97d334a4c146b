import { LeaseGrants } from './lease-grants';
import { Outbox } from './outbox';
import { ballot } from './testing/values';

const TERMS = { holdUs: 1_000, termUs: 800 };

describe('LeaseGrants', () => {
  const outbox = new Outbox();

  beforeEach(() => void outbox.take());

  // Gray & Cheriton, "Leases", §2: the grantor keeps to it for the term on its own clock.
  it('holds promises to others back for as long as it was asked to, and no longer', () => {
    const grants = new LeaseGrants(TERMS, outbox);
    expect(grants.grant(ballot('3.1'), 1, 900, 5_000)).toBe(true);
    expect(grants.forbid(ballot('4.2'), undefined, 5_899)).toBe(true);
    expect(grants.forbid(ballot('4.2'), undefined, 5_900)).toBe(false);
  });

  it('does not hold back a promise to the leader itself, or to a lower ballot', () => {
    const grants = new LeaseGrants(TERMS, outbox);
    grants.grant(ballot('3.1'), 1, 900, 0);
    expect(grants.forbid(ballot('4.1'), undefined, 1)).toBe(false);
    expect(grants.forbid(ballot('2.3'), undefined, 1)).toBe(false);
  });

  it('believes a release as far as it goes, and only of the leader that it granted', () => {
    const grants = new LeaseGrants(TERMS, outbox);
    grants.grant(ballot('3.1'), 7, 900, 0);
    grants.grant(ballot('3.1'), 6, 900, 1); // A late repetition.
    expect(grants.forbid(ballot('4.2'), { ballot: ballot('3.1'), round: 6 }, 2)).toBe(true);
    expect(grants.forbid(ballot('4.2'), { ballot: ballot('2.1'), round: 9 }, 2)).toBe(true);
    expect(grants.forbid(ballot('4.2'), { ballot: ballot('3.1'), round: 7 }, 2)).toBe(false);
    grants.release({ ballot: ballot('3.1'), round: 7 });
    expect(grants.forbid(ballot('5.3'), undefined, 2)).toBe(false);
  });

  it('grants nothing for longer than its own terms, nothing to a deposed leader, nothing without terms', () => {
    const grants = new LeaseGrants(TERMS, outbox);
    expect(grants.grant(ballot('3.1'), 1, 1_001, 0)).toBe(false);
    expect(grants.grant(ballot('3.1'), 1, 1_000, 0)).toBe(true);
    expect(grants.grant(ballot('2.2'), 9, 1_000, 0)).toBe(false);
    expect(new LeaseGrants(undefined, outbox).grant(ballot('3.1'), 1, 1, 0)).toBe(false);
  });

  it('has the longest that it may grant logged before the first grant, once', () => {
    const grants = new LeaseGrants(TERMS, outbox);
    expect(grants.hardState).toEqual([]);
    grants.grant(ballot('3.1'), 1, 500, 0);
    grants.grant(ballot('3.1'), 2, 1_000, 0);
    expect(outbox.take().persist).toEqual([{ kind: 'granted', holdUs: 1_000 }]);
    expect(grants.hardState).toEqual([{ kind: 'granted', holdUs: 1_000 }]);
  });

  it('keeps to what it may have granted before a restart, also if it is told to grant nothing any more', () => {
    const grants = new LeaseGrants(undefined, outbox);
    grants.restore(1_000);
    expect(grants.mindsTime).toBe(true);
    grants.at(70);
    expect(grants.forbid(ballot('4.2'), { ballot: ballot('3.1'), round: 9 }, 1_069)).toBe(true);
    grants.at(1_069);
    expect(outbox.take().persist).toEqual([]);
    grants.at(1_070);
    expect(grants.forbid(ballot('4.2'), undefined, 1_070)).toBe(false);
    expect(outbox.take().persist).toEqual([{ kind: 'granted', holdUs: 0 }]);
    expect(grants.mindsTime).toBe(false);
  });

  it('grants nothing while it does not know what it has granted', () => {
    const grants = new LeaseGrants(TERMS, outbox);
    grants.restore(2_000);
    grants.at(0);
    expect(grants.grant(ballot('3.1'), 1, 1_000, 1_999)).toBe(false);
    grants.at(2_000);
    expect(outbox.take().persist).toEqual([{ kind: 'granted', holdUs: 1_000 }]);
    expect(grants.grant(ballot('3.1'), 2, 1_000, 2_000)).toBe(true);
  });
});
