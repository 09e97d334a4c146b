import { invariant } from '@synod/invariant';
import type { Acceptor } from './acceptor';
import type { Ballot, Instance, ReplicaId } from './ballot';
import { Handover } from './handover';
import type { Learner } from './learner';
import { NO_ANSWERS, type Answers, type Members } from './members';
import type { Message, Value } from './messages';
import type { ReplicaLimits } from './options';
import type { Outbox } from './outbox';
import { Patience } from './patience';
import type { Found } from './phase-one';
import { ReadIndex } from './read-index';
import type { Requests } from './requests';
import { NO_OP } from './value';

/** The parts of its replica that a leader works with. */
export interface LeaderParts {
  readonly members: Members;
  readonly acceptor: Acceptor;
  readonly learner: Learner;
  readonly requests: Requests;
  readonly limits: ReplicaLimits;
  readonly outbox: Outbox;
}

/** A value proposed in this ballot and not yet delivered. */
interface Proposal {
  readonly value: Value;
  /** The caller's, or `undefined` for what phase 1 found. */
  readonly token: number | undefined;
  votes: Answers;
  ticks: number;
}

/**
 * Phase 2 of one leadership: proposes what phase 1 found, then what callers ask for, many instances at a time.
 * Source: Lamport, "Paxos Made Simple", §2.2 phase 2 and §3; the window of open instances is his α.
 *
 * Why it may propose any value above `found.lastFound`: a quorum has promised this ballot, and none of it had voted there. Why it never
 * proposes at or below `found.floor`: a promise leaves out the votes at or below its sender's watermark, so phase 1 did not show which
 * value is chosen there; only that one is. Between the two every vote of the quorum was shown, and P2c picks the value.
 */
export class Leadership {
  readonly kind = 'leading';
  private readonly proposals = new Map<Instance, Proposal>();
  /** Where the next value goes. Only ever grows, so no instance gets two values: invariant `one-value-per-ballot`. */
  private next: Instance;
  /** Every instance up to here is chosen. What is above the floor was chosen by votes of this ballot. */
  private quorumThrough: Instance;
  private settledThrough: Instance;
  /** The watermark that everybody was last told. Nobody has been told of this leader yet. */
  private toldAll: Instance = -1;
  private readonly toldBy = new Map<ReplicaId, Instance>();
  private readonly reads: ReadIndex;
  private readonly patience: Patience;
  /** While it is set nothing new is proposed: it waits, and is refused for certain once another replica leads. */
  private handover: Handover | undefined;

  constructor(
    readonly ballot: Ballot,
    private readonly found: Found,
    private readonly parts: LeaderParts,
  ) {
    const { learner, members, limits, requests, outbox } = parts;
    // What this replica learned since its promise left is chosen as well.
    const floor = Math.max(found.floor, learner.knownThrough);
    this.next = floor + 1;
    this.quorumThrough = floor;
    this.settledThrough = learner.chosenThrough;
    this.reads = new ReadIndex(ballot, members, limits, requests, outbox);
    this.patience = new Patience(limits);
    this.noteFound(floor);
  }

  /**
   * Whether every instance found in phase 1 is chosen, known and delivered. From then on this replica's log holds whatever any earlier
   * leader acknowledged: it may serve reads and new proposals (invariant `serves-after-recovery`).
   */
  get recovered(): boolean {
    return this.parts.learner.chosenThrough >= this.found.lastFound;
  }

  /**
   * Entries above this are not taken from peers: above its floor a leader believes only votes of its own ballot, or it could announce
   * under its ballot what a later ballot chose.
   */
  get learnsThrough(): Instance {
    return this.found.floor;
  }

  get restless(): boolean {
    const { requests } = this.parts;
    return (
      this.handover !== undefined ||
      this.awaitsMajority ||
      requests.hasProposals ||
      requests.hasReads ||
      this.laggards().length > 0
    );
  }

  /** Phase 2b: a member's vote is on its disk. This replica's own comes back to it when it is: invariant `own-vote-after-sync`. */
  accepted(from: ReplicaId, { instance, chosenThrough }: Extract<Message, { kind: 'accepted' }>): void {
    const { members, learner, acceptor } = this.parts;
    this.toldBy.set(from, chosenThrough);
    const proposal = this.proposals.get(instance);
    if (proposal === undefined) return;
    invariant(from !== members.self || acceptor.voteAt(instance)?.synced === true, 'own-vote-after-sync');
    proposal.votes = members.with(proposal.votes, from);
    this.quorumThrough = Math.max(this.quorumThrough, learner.knownThrough);
    while (members.isQuorum(this.proposals.get(this.quorumThrough + 1)?.votes ?? NO_ANSWERS)) {
      this.quorumThrough++;
      this.patience.progressed();
    }
    learner.hear(this.ballot, this.quorumThrough);
  }

  told(from: ReplicaId, chosenThrough: Instance): void {
    this.toldBy.set(from, chosenThrough);
  }

  confirmed(from: ReplicaId, round: number): void {
    if (this.reads.confirmed(from, round)) this.patience.progressed();
  }

  /** Begins to hand leadership over; a transfer in progress to another member is given up for it. */
  transfer(token: number, to: ReplicaId): void {
    this.handover?.fail();
    this.handover = new Handover(to, token, this.ballot, this.parts.limits, this.parts.outbox);
  }

  /** @returns whether this replica still may believe that it leads: answers of a majority came while some were due */
  tick(): boolean {
    if (!this.awaitsMajority) this.patience.progressed();
    const urge = this.patience.tick();
    if (urge === 'give-up') return false;
    for (const [instance, proposal] of this.proposals) {
      if (++proposal.ticks % this.parts.limits.retransmitTicks === 0) this.repeat(instance, proposal);
    }
    this.reads.tick();
    if (this.handover?.tick() === true) this.handover = undefined;
    if (urge === 'repeat') this.tell(this.laggards());
    return true;
  }

  /** Ends a step, after the learner delivered: answers callers, opens instances, begins a read round, tells the watermark. */
  endStep(): void {
    const { learner, members } = this.parts;
    this.settleDelivered();
    this.propose();
    this.handOver();
    if (this.recovered) this.reads.begin(learner.chosenThrough);
    // The next accept carries the watermark. When none is due, it is told by itself; while votes are awaited, that can wait for them.
    if (learner.chosenThrough === this.toldAll || (this.proposals.size > 0 && this.toldAll >= 0)) return;
    this.tell(members.others);
    this.toldAll = learner.chosenThrough;
  }

  /** Says who leads, and the watermark. */
  tell(whom: readonly ReplicaId[]): void {
    const { learner, outbox } = this.parts;
    for (const to of whom) {
      outbox.sendNow(to, { kind: 'chosen', ballot: this.ballot, chosenThrough: learner.chosenThrough });
    }
  }

  /**
   * Leadership is lost. Accepts have left with these values: a later leader may find them and carry them, or not.
   * @param by the higher ballot, if one is why
   */
  abandon(by: Ballot | undefined): void {
    this.handover?.ended(by);
    for (const { token } of this.proposals.values()) {
      if (token !== undefined) this.parts.outbox.settle({ token, outcome: 'unknown' });
    }
    this.reads.refuse();
  }

  private get awaitsMajority(): boolean {
    return this.proposals.size > 0 || this.reads.inFlight || !this.recovered;
  }

  private handOver(): void {
    const { learner } = this.parts;
    if (this.handover === undefined || !this.recovered || this.proposals.size > 0) return;
    if ((this.toldBy.get(this.handover.to) ?? -1) >= learner.chosenThrough) this.handover.tell();
  }

  private settleDelivered(): void {
    const { learner, outbox } = this.parts;
    while (this.settledThrough < learner.chosenThrough) {
      const instance = ++this.settledThrough;
      const token = this.proposals.get(instance)?.token;
      if (token !== undefined) outbox.settle({ token, outcome: 'chosen', instance });
      this.proposals.delete(instance);
      this.patience.progressed();
    }
  }

  private propose(): void {
    const { limits, requests } = this.parts;
    while (this.proposals.size < limits.windowInstances) {
      if (this.next <= this.found.lastFound) {
        this.open(this.found.carried.get(this.next) ?? NO_OP, undefined);
        continue;
      }
      const waiting = this.recovered && this.handover === undefined ? requests.nextProposal() : undefined;
      if (waiting === undefined) break;
      this.open(waiting.value, waiting.token);
    }
  }

  /** Phase 2a. The accepts leave at once, while this replica's own vote goes to disk: the ballot's record has long been there. */
  private open(value: Value, token: number | undefined): void {
    const { acceptor, learner, members, outbox } = this.parts;
    const instance = this.next++;
    invariant(!this.proposals.has(instance), 'one-value-per-ballot', () => `instance ${instance}`);
    this.proposals.set(instance, { value, token, votes: NO_ANSWERS, ticks: 0 });
    const message: Message = {
      kind: 'accept',
      ballot: this.ballot,
      instance,
      value,
      chosenThrough: learner.chosenThrough,
    };
    for (const to of members.others) outbox.sendNow(to, message);
    acceptor.vote(members.self, this.ballot, instance, value, learner.chosenThrough);
    this.toldAll = learner.chosenThrough;
  }

  private repeat(instance: Instance, { value, votes }: Proposal): void {
    const { learner, members, outbox } = this.parts;
    for (const to of members.others) {
      if (members.answered(votes, to)) continue;
      outbox.sendNow(to, {
        kind: 'accept',
        ballot: this.ballot,
        instance,
        value,
        chosenThrough: learner.chosenThrough,
      });
      outbox.reached('paxos.accept-repeated');
    }
  }

  /** Members that have not said that they know what is chosen. */
  private laggards(): ReplicaId[] {
    const { learner, members } = this.parts;
    return members.others.filter((id) => (this.toldBy.get(id) ?? -1) < learner.chosenThrough);
  }

  private noteFound(floor: Instance): void {
    const { learner, outbox } = this.parts;
    const { lastFound, carried } = this.found;
    if (floor > learner.knownThrough) outbox.reached('paxos.leader-behind-its-quorum');
    if (lastFound <= floor) return;
    if (carried.size > 0) outbox.reached('paxos.vote-carried');
    if (carried.size < lastFound - floor) outbox.reached('paxos.hole-filled');
  }
}
