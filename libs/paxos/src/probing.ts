import { compareBallots, type Ballot, type ReplicaId } from './ballot';
import { NO_ANSWERS, type Answers, type Members } from './members';
import type { Message } from './messages';
import type { ReplicaLimits } from './options';
import type { Outbox } from './outbox';
import { Patience, type Urge } from './patience';

/**
 * Phase 0: asks whether a majority would support a campaign, before a ballot is spent on it. A replica that cannot hear the leader
 * while the others can would otherwise depose it each time it asks.
 * Not in the papers; known from Raft as pre-vote (Ongaro, "Consensus: Bridging Theory and Practice", §9.6). Needed for liveness only.
 */
export class Probing {
  readonly kind = 'probing';
  private grants: Answers = NO_ANSWERS;
  private readonly patience: Patience;

  constructor(
    /** The ballot that the campaign would use. Raised when a member has promised more. */
    private ballot: Ballot,
    private readonly members: Members,
    limits: ReplicaLimits,
    private readonly outbox: Outbox,
  ) {
    this.patience = new Patience(limits);
    this.grants = members.with(this.grants, members.self); // This replica has lost the leader itself.
    this.send();
  }

  get succeeded(): boolean {
    return this.members.isQuorum(this.grants);
  }

  reply(from: ReplicaId, { ballot, granted, promised }: Extract<Message, { kind: 'probe-reply' }>): void {
    if (granted && compareBallots(ballot, this.ballot) === 0) this.grants = this.members.with(this.grants, from);
    // Grants given to the lower ballot stay: who gave them knows no leader. The next repetition asks the others with this one.
    if (compareBallots(promised, this.ballot) >= 0) this.ballot = { ...this.ballot, round: promised.round + 1 };
  }

  tick(): Urge {
    const urge = this.patience.tick();
    if (urge === 'repeat') this.send(); // Those who refused may have lost the leader since.
    return urge;
  }

  private send(): void {
    for (const to of this.members.others) {
      if (!this.members.answered(this.grants, to)) this.outbox.sendNow(to, { kind: 'probe', ballot: this.ballot });
    }
  }
}
