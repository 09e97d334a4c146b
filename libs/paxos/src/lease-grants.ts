import { compareBallots, type Ballot } from './ballot';
import type { Released } from './messages';
import type { LeaseTerms } from './options';
import type { Outbox } from './outbox';

/** A leader, in a round that asked for a lease. */
interface Granted {
  readonly ballot: Ballot;
  readonly round: number;
}

/** For whom an acceptor holds its promises back, and how long on its own clock. */
interface Hold {
  /** The leader that it was granted to; `undefined` behind a restart, which forgets who that was. */
  readonly granted: Granted | undefined;
  readonly untilUs: number;
}

/**
 * What an acceptor grants to leaders: that it promises nothing to anybody else for a while (invariant `no-promise-under-a-granted-lease`).
 * It goes on voting: a vote is asked for by a leader whose phase 1 is over, and then no lease of a lower ballot is in force any more.
 *
 * A restart forgets the grants. So before the first of them is told to anyone, the log says for how long they may last, and for so long a restarted
 * acceptor promises nothing to anybody and grants nothing either, whatever it is told to do about leases by then.
 */
export class LeaseGrants {
  private hold: Hold | undefined;
  /** What the log says: no grant lasts longer. */
  private loggedUs = 0;
  private restarted = false;

  constructor(
    /** Absent if this replica grants no leases. */
    private readonly terms: LeaseTerms | undefined,
    private readonly outbox: Outbox,
  ) {}

  /** Whether it has to know the time: it grants leases, or may have granted some before a restart. */
  get mindsTime(): boolean {
    return this.terms !== undefined || this.loggedUs > 0;
  }

  /** Replays the record of the log. */
  restore(holdUs: number): void {
    this.loggedUs = holdUs;
    this.restarted = holdUs > 0;
  }

  /** What the log has to say, to be said again before the part of it that does is cut off. */
  get hardState(): { readonly kind: 'granted'; readonly holdUs: number }[] {
    return this.loggedUs > 0 ? [{ kind: 'granted', holdUs: this.loggedUs }] : [];
  }

  /** Time has passed. */
  at(nowUs: number): void {
    if (this.restarted) {
      this.hold = { granted: undefined, untilUs: nowUs + this.loggedUs };
      this.restarted = false;
    }
    const ownUs = this.terms?.holdUs ?? 0;
    // What was granted before the restart is over, and since then nothing was for longer than this.
    if (this.loggedUs > ownUs && !this.isUnknown(nowUs)) this.log(ownUs);
  }

  /**
   * The leader of `ballot` asks for a lease in a round.
   * @returns whether it is granted; the answer may leave once everything recorded so far is on disk
   */
  grant(ballot: Ballot, round: number, holdUs: number, nowUs: number): boolean {
    if (this.terms === undefined || holdUs > this.terms.holdUs || this.isUnknown(nowUs)) return false;
    const before = this.hold?.granted;
    const order = before === undefined ? 1 : compareBallots(ballot, before.ballot);
    if (order < 0) return false; // A later leader was granted one: this one's words are late.
    if (holdUs > this.loggedUs) this.log(this.terms.holdUs);
    const latest = order === 0 ? Math.max(round, before?.round ?? 0) : round;
    this.hold = { granted: { ballot, round: latest }, untilUs: Math.max(nowUs + holdUs, this.hold?.untilUs ?? 0) };
    return true;
  }

  /**
   * Whether a promise to `ballot` would break a grant. Not one to the leader itself, which no longer leads in its lower ballot; nor one to whom the leader
   * has handed over, having given up all that it was granted until then.
   */
  forbid(ballot: Ballot, released: Released | undefined, nowUs: number): boolean {
    const { hold } = this;
    if (hold === undefined || nowUs >= hold.untilUs) return false;
    const { granted } = hold;
    if (granted === undefined) return true;
    if (compareBallots(ballot, granted.ballot) <= 0 || ballot.replica === granted.ballot.replica) return false;
    return !isReleased(granted, released);
  }

  /** A leader that handed over has given up what it was granted until then: it binds nobody any more. */
  release(released: Released | undefined): void {
    if (this.hold?.granted !== undefined && isReleased(this.hold.granted, released)) this.hold = undefined;
  }

  /** For a while after a restart nobody knows whom something was granted to. */
  private isUnknown(nowUs: number): boolean {
    return this.hold !== undefined && this.hold.granted === undefined && nowUs < this.hold.untilUs;
  }

  private log(holdUs: number): void {
    this.outbox.persist({ kind: 'granted', holdUs });
    this.loggedUs = holdUs;
  }
}

function isReleased({ ballot, round }: Granted, released: Released | undefined): boolean {
  return released !== undefined && compareBallots(released.ballot, ballot) === 0 && released.round >= round;
}
