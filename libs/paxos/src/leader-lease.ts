import { invariant } from '@synod/invariant';
import type { ReplicaId } from './ballot';
import { NO_ANSWERS, type Answers, type Members } from './members';
import type { Membership } from './membership';
import type { LeaseTerms } from './options';

const PPM = 1_000_000;

/** A round in which the leader asked for a lease. */
interface Asked {
  readonly round: number;
  readonly sentAtUs: number;
  /** Of the configuration when the round was sent. */
  readonly members: Members;
  readonly version: number;
  grants: Answers;
}

/**
 * The terms that hold if every clock of the group runs, over any stretch of true time, at most `maxClockDriftPpm` parts per million faster or
 * slower than true time: invariant `lease-within-the-hold`. With ε for the drift, the leader's term lasts termUs / (1 − ε) of true time at most, and
 * the hold of whoever granted it holdUs / (1 + ε) at least.
 */
export function leaseTerms(holdUs: number, maxClockDriftPpm: number): LeaseTerms {
  invariant(maxClockDriftPpm >= 0 && maxClockDriftPpm < PPM, 'lease-within-the-hold', () => `${maxClockDriftPpm} ppm`);
  return { holdUs, termUs: Math.floor((holdUs * (PPM - maxClockDriftPpm)) / (PPM + maxClockDriftPpm)) };
}

/**
 * A leader's lease: for so long no other leader can come about, and the leader answers reads by its own state alone.
 * Source: Gray & Cheriton, "Leases", SOSP 1989, §2 and §5 (what clocks may do to it); as the lease of a Multi-Paxos master: Chandra, Griesemer &
 * Redstone, "Paxos Made Live", PODC 2007, §5.2. Differs from the latter: a lease comes with a read-index round that reads needed anyway, or that
 * renews it while reads use it, and not through the log; an idle group says nothing.
 *
 * It begins when the round was sent, before anybody answered, and ends `termUs` later on this replica's own monotonic clock. Whoever answers
 * holds back its promises to others for `holdUs` from then on (`LeaseGrants`). The argument (invariant `lease-outlives-no-leader`): another leader
 * of a higher ballot needs promises of a quorum, which shares a member with the quorum that granted. That member promised after it had granted, or
 * it would not have confirmed; so it did after its hold, which ends after the lease. If the member is this replica itself, it has stopped leading
 * by its own promise. Both quorums are of one configuration, or of two next to each other: a lease of another configuration than the present one is
 * void, since a later leader has to prepare under the present one before it chooses anything new (decision 0010).
 */
export class LeaderLease {
  private held: { readonly untilUs: number; readonly version: number } | undefined;
  private asked: Asked | undefined;

  constructor(
    private readonly terms: LeaseTerms,
    private readonly membership: Pick<Membership, 'current' | 'version'>,
  ) {}

  /** For how long members are asked to hold back their promises. */
  get holdUs(): number {
    return this.terms.holdUs;
  }

  /** @returns when it ends, if it holds now */
  endUs(nowUs: number): number | undefined {
    const { held } = this;
    if (held === undefined || held.version !== this.membership.version) return undefined;
    return nowUs < held.untilUs ? held.untilUs : undefined;
  }

  /** Whether it is time to ask again: of a lease that reads use, half is left. */
  isAging(nowUs: number): boolean {
    const endUs = this.endUs(nowUs);
    return endUs !== undefined && endUs - nowUs < this.terms.termUs / 2;
  }

  /** A round that asks for a lease is about to be sent. This replica grants it by leading. */
  ask(round: number, nowUs: number): void {
    const { current: members, version } = this.membership;
    this.asked = { round, sentAtUs: nowUs, members, version, grants: NO_ANSWERS };
    this.granted(members.self, round);
  }

  /** A member holds back its promises since it answered a round. */
  granted(from: ReplicaId, round: number): void {
    const { asked } = this;
    if (asked?.round !== round) return;
    asked.grants = asked.members.with(asked.grants, from);
    if (!asked.members.isQuorum(asked.grants)) return;
    this.held = { untilUs: asked.sentAtUs + this.terms.termUs, version: asked.version };
    this.asked = undefined;
  }

  /** Gives up whatever was granted so far: somebody else may be told so. */
  release(): void {
    this.held = this.asked = undefined;
  }
}
