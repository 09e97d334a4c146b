import type { Ballot, Instance, ReplicaId } from './ballot';
import { NO_ANSWERS, type Answers, type Members } from './members';
import type { Membership } from './membership';
import type { ReplicaLimits } from './options';
import type { Outbox } from './outbox';
import type { Requests } from './requests';

/** A question to all members whether the leader still leads, and the reads that wait for its answer. */
interface Round {
  readonly number: number;
  readonly tokens: readonly number[];
  /** What the reads must see: everything chosen when the round was sent. */
  readonly instance: Instance;
  /** Of the configuration when the round was sent. */
  readonly members: Members;
  confirmations: Answers;
  ticks: number;
}

/**
 * Linearizable reads without a log entry, as in Raft (Ongaro, "Consensus: Bridging Theory and Practice", §6.4): a majority confirms
 * that it has promised nothing above the leader's ballot, so no later leader had finished phase 1, let alone had a write
 * acknowledged, when the round was sent.
 * Differs: no leases. Waiting reads share rounds, one in flight.
 */
export class ReadIndex {
  private rounds = 0;
  private round: Round | undefined;
  /** Reads wait that arrived while the round was in flight. */
  private cameTooLate = false;

  constructor(
    private readonly ballot: Ballot,
    private readonly membership: Pick<Membership, 'current'>,
    private readonly limits: Pick<ReplicaLimits, 'retransmitTicks'>,
    private readonly requests: Requests,
    private readonly outbox: Outbox,
  ) {}

  get inFlight(): boolean {
    return this.round !== undefined;
  }

  /** Ends a step: begins a round for the reads that wait, unless one is in flight, which they came too late for. */
  begin(chosenThrough: Instance): void {
    if (!this.requests.hasReads) return;
    if (this.round !== undefined) {
      this.cameTooLate = true;
      return;
    }
    if (this.cameTooLate) this.outbox.reached('paxos.read-waited-for-next-round');
    this.cameTooLate = false;
    this.round = {
      number: ++this.rounds,
      tokens: this.requests.takeReads(),
      instance: chosenThrough,
      members: this.membership.current,
      confirmations: NO_ANSWERS,
      ticks: 0,
    };
    this.send(this.round);
    this.confirmed(this.membership.current.self, this.rounds); // A leader that had promised more would have stepped down.
  }

  /** @returns whether the round is complete */
  confirmed(from: ReplicaId, number: number): boolean {
    const { round } = this;
    if (round?.number !== number) return false; // Answers to another round say nothing about reads that came after it.
    round.confirmations = round.members.with(round.confirmations, from);
    if (!round.members.isQuorum(round.confirmations)) return false;
    this.round = undefined;
    for (const token of round.tokens) this.outbox.settle({ token, outcome: 'read-ready', instance: round.instance });
    return true;
  }

  tick(): void {
    if (this.round === undefined || ++this.round.ticks % this.limits.retransmitTicks !== 0) return;
    this.send(this.round);
  }

  /** Leadership is lost: a later leader may have chosen what these reads would miss. */
  refuse(): void {
    if (this.round === undefined) return;
    for (const token of this.round.tokens) this.outbox.settle({ token, outcome: 'not-leader' });
    this.outbox.reached('paxos.reads-refused');
    this.round = undefined;
  }

  private send(round: Round): void {
    for (const to of round.members.others) {
      if (round.members.answered(round.confirmations, to)) continue;
      this.outbox.sendNow(to, { kind: 'confirm', ballot: this.ballot, round: round.number });
    }
  }
}
