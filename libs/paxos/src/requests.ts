import type { ReplicaLimits } from './options';
import type { Outbox } from './outbox';
import type { Value } from './messages';

export interface WaitingProposal {
  readonly token: number;
  readonly value: Value;
}

/** What callers asked for and what has not begun: nothing of it has left this replica, so all of it can be refused for certain. */
export class Requests {
  private proposals: WaitingProposal[] = [];
  private reads: number[] = [];

  constructor(
    private readonly limits: Pick<ReplicaLimits, 'queueMax'>,
    private readonly outbox: Outbox,
  ) {}

  propose(token: number, value: Value): void {
    if (this.proposals.length >= this.limits.queueMax) return this.outbox.settle({ token, outcome: 'overloaded' });
    if (this.proposals.length > 0) this.outbox.reached('paxos.proposal-queued');
    this.proposals.push({ token, value });
  }

  read(token: number): void {
    if (this.reads.length >= this.limits.queueMax) this.outbox.settle({ token, outcome: 'overloaded' });
    else this.reads.push(token);
  }

  get hasProposals(): boolean {
    return this.proposals.length > 0;
  }

  get hasReads(): boolean {
    return this.reads.length > 0;
  }

  get firstProposal(): WaitingProposal | undefined {
    return this.proposals[0];
  }

  takeProposal(): void {
    this.proposals.shift();
  }

  /** All reads that wait: they share one round. */
  takeReads(): readonly number[] {
    const { reads } = this;
    this.reads = [];
    return reads;
  }

  /** This replica will not lead: nothing that waits will begin. */
  refuse(): void {
    for (const { token } of this.proposals) this.outbox.settle({ token, outcome: 'not-leader' });
    for (const token of this.reads) this.outbox.settle({ token, outcome: 'not-leader' });
    if (this.reads.length > 0) this.outbox.reached('paxos.reads-refused');
    this.proposals = [];
    this.reads = [];
  }
}
