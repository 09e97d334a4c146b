import { invariant } from '@synod/invariant';
import type { Ballot, ReplicaId } from './ballot';
import type { Message } from './messages';
import type { ReplicaLimits } from './options';
import type { Outbox } from './outbox';

/**
 * A leader's way of handing leadership to a member of its choice: it proposes nothing new, waits until that member knows everything
 * that is chosen, and tells it to campaign at once. Known from Raft as leadership transfer (Ongaro, "Consensus: Bridging Theory and
 * Practice", §3.10). For liveness only: the other takes over by a higher ballot, as any new leader does.
 *
 * Invariant `handover-is-bounded`: after `electionTicks` without a higher ballot the leader goes on as if it had not been asked.
 */
export class Handover {
  private ticks = 0;
  private toldAtTick: number | undefined;

  constructor(
    readonly to: ReplicaId,
    private readonly token: number,
    private readonly ballot: Ballot,
    private readonly limits: Pick<ReplicaLimits, 'retransmitTicks' | 'electionTicks'>,
    private readonly outbox: Outbox,
  ) {}

  /**
   * The member knows what is chosen, and nothing is open that it could miss: tells it, once in a while.
   * @param round the leases of the rounds through this have been given up
   */
  tell(round: number | undefined): void {
    invariant(this.ticks < this.limits.electionTicks, 'handover-is-bounded', () => `to ${this.to}, tick ${this.ticks}`);
    if (this.toldAtTick !== undefined && this.ticks - this.toldAtTick < this.limits.retransmitTicks) return;
    this.toldAtTick = this.ticks;
    this.outbox.sendNow(this.to, takeOver(this.ballot, round));
  }

  /** @returns whether the bound has passed: the caller was told that leadership stays here */
  tick(): boolean {
    if (++this.ticks < this.limits.electionTicks) return false;
    this.outbox.reached('paxos.handover-given-up');
    this.fail();
    return true;
  }

  /** A higher ballot ended this leadership. */
  ended(by: Ballot | undefined): void {
    if (by?.replica === this.to) this.outbox.settle({ token: this.token, outcome: 'transferred' });
    else this.fail();
  }

  fail(): void {
    this.outbox.settle({ token: this.token, outcome: 'not-transferred' });
  }
}

/** @param round the leases of the rounds through this have been given up; absent where there are none */
export function takeOver(ballot: Ballot, round: number | undefined): Message {
  return { kind: 'take-over', ballot, ...(round === undefined ? {} : { round }) };
}
