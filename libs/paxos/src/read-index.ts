import type { Ballot, Instance, ReplicaId } from './ballot';
import type { LeaderLease } from './leader-lease';
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
  /** Of the lease that it asks for. */
  readonly holdUs?: number;
}

/**
 * Linearizable reads without a log entry, as in Raft (Ongaro, "Consensus: Bridging Theory and Practice", §6.4): a majority confirms
 * that it has promised nothing above the leader's ballot, so no later leader had finished phase 1, let alone had a write
 * acknowledged, when the round was sent.
 * Waiting reads share rounds, one in flight. Where there are leases, a round asks for one too, and reads that come while it holds need no round.
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
    /** Absent if every read asks a majority. */
    private readonly lease?: LeaderLease,
  ) {}

  get inFlight(): boolean {
    return this.round !== undefined;
  }

  /**
   * Ends a step: answers the reads that wait by the lease, or else begins a round for them, unless one is in flight, which they came too late for.
   * @param leaseAtUs the time, unless a lease is neither to be used nor to be asked for now
   */
  begin(chosenThrough: Instance, leaseAtUs?: number): void {
    const renews = this.serveByLease(chosenThrough, leaseAtUs);
    if (!this.requests.hasReads) {
      if (renews && this.round === undefined) this.beginRound(chosenThrough, leaseAtUs);
      return;
    }
    if (this.round !== undefined) {
      this.cameTooLate = true;
      return;
    }
    if (this.cameTooLate) this.outbox.reached('paxos.read-waited-for-next-round');
    this.cameTooLate = false;
    this.beginRound(chosenThrough, leaseAtUs);
  }

  /** @returns whether to begin a round so that the reads after these find a lease too */
  private serveByLease(chosenThrough: Instance, nowUs: number | undefined): boolean {
    if (nowUs === undefined || !this.requests.hasReads) return false;
    const leasedUntilUs = this.lease?.endUs(nowUs);
    if (leasedUntilUs === undefined) return false;
    for (const token of this.requests.takeReads()) {
      this.outbox.settle({ token, outcome: 'read-ready', instance: chosenThrough, leasedUntilUs });
    }
    this.outbox.reached('paxos.read-by-lease');
    return this.lease?.isAging(nowUs) === true;
  }

  private beginRound(chosenThrough: Instance, leaseAtUs: number | undefined): void {
    const asks = this.lease !== undefined && leaseAtUs !== undefined;
    this.round = {
      number: ++this.rounds,
      tokens: this.requests.takeReads(),
      instance: chosenThrough,
      members: this.membership.current,
      confirmations: NO_ANSWERS,
      ticks: 0,
      ...(asks ? { holdUs: this.lease.holdUs } : {}),
    };
    if (asks) this.lease.ask(this.rounds, leaseAtUs);
    this.send(this.round);
    this.confirmed(this.membership.current.self, this.rounds); // A leader that had promised more would have stepped down.
  }

  /**
   * @param held whether the sender has granted the lease that the round asked for
   * @returns whether the round is complete
   */
  confirmed(from: ReplicaId, number: number, held = false): boolean {
    if (held) this.lease?.granted(from, number); // Also when the round is complete: the quorum of its grants may come later.
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

  /**
   * What was granted so far is used no more: leadership is to be handed over, and others are told that it binds nobody; or it may be over unnoticed.
   * @returns the round through which that is so; undefined where there are no leases
   */
  release(): number | undefined {
    this.lease?.release();
    return this.lease === undefined ? undefined : this.rounds;
  }

  private send({ number, members, confirmations, holdUs }: Round): void {
    const asks = holdUs === undefined ? {} : { holdUs };
    for (const to of members.others) {
      if (members.answered(confirmations, to)) continue;
      this.outbox.sendNow(to, { kind: 'confirm', ballot: this.ballot, round: number, ...asks });
    }
  }
}
