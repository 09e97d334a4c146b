import { invariant } from '@synod/invariant';
import type { Acceptor } from './acceptor';
import { compareBallots, type Ballot, type Instance, type ReplicaId } from './ballot';
import { Handover, takeOver } from './handover';
import { LeaderLease } from './leader-lease';
import type { Learner } from './learner';
import { changeIn, mayFollow, voters } from './configuration';
import { stamped } from './fence';
import { NO_ANSWERS, type Answers, type Members } from './members';
import type { Membership } from './membership';
import type { Message, Value } from './messages';
import type { LeaseTerms, ReplicaLimits } from './options';
import type { Outbox } from './outbox';
import { Patience } from './patience';
import type { Found } from './phase-one';
import { ReadIndex } from './read-index';
import type { Requests, WaitingProposal } from './requests';
import { NO_OP } from './value';

/** The parts of its replica that a leader works with. */
export interface LeaderParts {
  readonly membership: Membership;
  readonly acceptor: Acceptor;
  readonly learner: Learner;
  readonly requests: Requests;
  readonly limits: ReplicaLimits;
  readonly outbox: Outbox;
  /** Absent if every read asks a majority. */
  readonly leases: LeaseTerms | undefined;
}

/** A value proposed in this ballot and not yet delivered. */
interface Proposal {
  readonly value: Value;
  /** The caller's, or `undefined` for what phase 1 found. */
  readonly token: number | undefined;
  /** Of the configuration of its instance: with these its votes are counted. */
  readonly members: Members;
  votes: Answers;
  ticks: number;
}

/**
 * Phase 2 of one leadership: proposes what phase 1 found, then an empty value of its own, then what callers ask for, many instances at a time.
 * Source: Lamport, "Paxos Made Simple", §2.2 phase 2 and §3; the window of open instances is his α.
 *
 * Why it may propose any value above `found.lastFound`: a quorum has promised this ballot, and none of it had voted there. Why it never
 * proposes at or below `found.floor`: a promise leaves out the votes at or below its sender's watermark, so phase 1 did not show which
 * value is chosen there; only that one is. Between the two every vote of the quorum was shown, and P2c picks the value.
 *
 * What a deposed leader proposed may be found by nobody now and be carried by a later leader all the same. So a value names the ballot
 * that proposed it first, and the own value, once delivered, fences off whatever lower ballots have left behind it (decision 0014).
 *
 * A change of the configuration is a barrier (invariant `change-is-a-barrier`): it is opened when everything before it is delivered, and
 * nothing after it is opened until it is. So all open instances have one configuration, the present one. Of a change that this
 * leadership proposes by itself its phase 1 quorum is proof enough for what follows; of one that it found or fetched it is not, and
 * the replica prepares again (decision 0010).
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
  /** A change is open there. */
  private changeAt: Instance | undefined;
  /** The configuration that phase 1, or a change that was this leadership's own, entitles it to propose under. */
  private provenVersion: number;
  private readonly floor: Instance;
  /** For how long a removal has waited at the head of all proposals. */
  private removalTicks = 0;
  /** Where this leadership's own first value goes. */
  private readonly firstOwn: Instance;

  constructor(
    readonly ballot: Ballot,
    private readonly found: Found,
    private readonly parts: LeaderParts,
  ) {
    const { learner, membership, limits, requests, outbox, leases } = parts;
    // What this replica learned since its promise left is chosen as well.
    const floor = (this.floor = Math.max(found.floor, learner.knownThrough));
    this.provenVersion = membership.version;
    this.next = floor + 1;
    this.firstOwn = Math.max(floor, found.lastFound) + 1;
    this.quorumThrough = floor;
    this.settledThrough = learner.chosenThrough;
    const lease = leases && new LeaderLease(leases, membership);
    this.reads = new ReadIndex(ballot, membership, limits, requests, outbox, lease);
    this.patience = new Patience(limits);
    this.noteFound(floor);
  }

  /**
   * Whether every instance found in phase 1 is chosen, known and delivered, and an own value after them. From then on this replica's
   * log holds whatever any earlier leader acknowledged, and nothing else that one proposed has an effect any more: it may serve reads and
   * new proposals (invariant `serves-after-recovery`).
   */
  get recovered(): boolean {
    return this.parts.learner.chosenThrough >= this.firstOwn;
  }

  /**
   * Entries above this are not taken from peers: above its floor a leader believes only votes of its own ballot, or it could announce
   * under its ballot what a later ballot chose.
   */
  get learnsThrough(): Instance {
    return this.found.floor;
  }

  /** Whether what this leadership rests on holds under the present configuration too. */
  get proven(): boolean {
    return this.parts.membership.version <= this.provenVersion;
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
    const { membership, learner, acceptor } = this.parts;
    this.toldBy.set(from, chosenThrough);
    const proposal = this.proposals.get(instance);
    if (proposal === undefined) return;
    invariant(from !== membership.current.self || acceptor.voteAt(instance)?.synced === true, 'own-vote-after-sync');
    proposal.votes = proposal.members.with(proposal.votes, from);
    this.quorumThrough = Math.max(this.quorumThrough, learner.knownThrough);
    while (this.hasQuorum(this.quorumThrough + 1)) {
      this.quorumThrough++;
      this.patience.progressed();
    }
    learner.hear(this.ballot, this.quorumThrough);
  }

  told(from: ReplicaId, chosenThrough: Instance): void {
    this.toldBy.set(from, chosenThrough);
  }

  progressOf(member: ReplicaId): Instance {
    return this.toldBy.get(member) ?? 0;
  }

  confirmed(from: ReplicaId, { round, held }: Extract<Message, { kind: 'confirmed' }>): void {
    if (this.reads.confirmed(from, round, held)) this.patience.progressed();
  }

  /** A lease may have run out without the clock showing it, and a round in flight may bring one that has. */
  doubtLease(): void {
    this.reads.release();
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
    if (this.diskIsStuck()) return false;
    this.giveUpRemoval();
    this.reads.tick();
    if (this.handover?.tick() === true) this.handover = undefined;
    if (urge === 'repeat') this.tell(this.laggards());
    return true;
  }

  /**
   * Ends a step, after the learner delivered: answers callers, opens instances, answers reads or begins a round for them, tells the watermark.
   * @param nowUs the host's clock, where there are leases
   */
  endStep(nowUs: number | undefined): void {
    const { learner, membership } = this.parts;
    this.settleDelivered();
    this.propose();
    this.handOver();
    if (this.recovered) this.reads.begin(learner.chosenThrough, this.leaseable ? nowUs : undefined);
    // The next accept carries the watermark. When none is due, it is told by itself; while votes are awaited, that can wait for them.
    if (learner.chosenThrough === this.toldAll || (this.proposals.size > 0 && this.toldAll >= 0)) return;
    this.tell(membership.current.others);
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

  /** Removed by its own change: names a successor, who need not find out that nobody leads. */
  bowOut(): void {
    const { membership, outbox } = this.parts;
    const known = (id: ReplicaId): Instance => this.toldBy.get(id) ?? -1;
    const [successor] = [...membership.current.ids].sort((a, b) => known(b) - known(a));
    outbox.reached('paxos.leader-removed');
    if (successor !== undefined) outbox.sendNow(successor, takeOver(this.ballot, this.reads.release()));
  }

  private hasQuorum(instance: Instance): boolean {
    const proposal = this.proposals.get(instance);
    return proposal?.members.isQuorum(proposal.votes) === true;
  }

  /**
   * Whether this replica's own vote has not come back for so long that its disk must be taken as stuck. The others may go on choosing
   * by themselves, and confirm reads too; but nothing is delivered here, so that no caller would ever hear (`own-vote-after-sync`).
   */
  private diskIsStuck(): boolean {
    for (const { members, votes, ticks } of this.proposals.values()) {
      if (members.answered(votes, members.self)) continue;
      if (ticks < this.parts.limits.electionTicks) return false; // The oldest that waits.
      this.parts.outbox.reached('paxos.disk-stuck');
      return true;
    }
    return false;
  }

  /** Whether leases may be used and asked for. Not during a handover: whoever is to take over would have to wait for what is granted meanwhile. */
  private get leaseable(): boolean {
    const { leases, acceptor } = this.parts;
    if (leases === undefined || this.handover !== undefined || !this.proven) return false;
    // Of the quorum that granted, this replica alone has not held its promise back: it gives up leading instead.
    invariant(compareBallots(acceptor.promised, this.ballot) === 0, 'lease-outlives-no-leader');
    return true;
  }

  private get awaitsMajority(): boolean {
    return this.proposals.size > 0 || this.reads.inFlight || !this.recovered;
  }

  private handOver(): void {
    const { learner } = this.parts;
    if (this.handover === undefined || !this.recovered || this.proposals.size > 0) return;
    if ((this.toldBy.get(this.handover.to) ?? -1) < learner.chosenThrough) return;
    this.handover.tell(this.reads.release());
  }

  private settleDelivered(): void {
    const { learner, outbox } = this.parts;
    while (this.settledThrough < learner.chosenThrough) {
      const instance = ++this.settledThrough;
      const { token, members } = this.proposals.get(instance) ?? {};
      if (token !== undefined) {
        invariant(
          instance > this.firstOwn,
          'serves-after-recovery',
          () => `${instance}, own value at ${this.firstOwn}`,
        );
        outbox.settle({ token, outcome: 'chosen', instance });
      }
      if (instance === this.changeAt && members !== undefined) this.changed(members);
      this.proposals.delete(instance);
      this.patience.progressed();
    }
  }

  /** The open change is delivered. Whoever it removed is told for the last time. */
  private changed(before: Members): void {
    const { membership, outbox } = this.parts;
    this.changeAt = undefined;
    outbox.reached('paxos.configuration-changed');
    this.tell(before.others.filter((id) => !membership.current.has(id)));
  }

  private propose(): void {
    const { limits, requests, learner, membership } = this.parts;
    // What was fetched may hold changes: until it is delivered, the configuration above the floor is not known.
    if (learner.chosenThrough < this.floor || !this.proven) return;
    while (this.proposals.size < limits.windowInstances && this.changeAt === undefined) {
      if (this.next <= this.found.lastFound) {
        const value = this.found.carried.get(this.next) ?? NO_OP;
        if (this.mustWait(value)) return;
        this.open(value, undefined);
        continue;
      }
      if (this.next === this.firstOwn) {
        this.open(stamped([], this.ballot), undefined);
        continue;
      }
      const waiting = this.recovered && this.handover === undefined ? requests.firstProposal : undefined;
      if (waiting === undefined || !membership.mayLead) return;
      if (this.mustWait(waiting.value) || this.mustTeach(waiting.value)) return;
      requests.takeProposal();
      this.begin(waiting);
    }
    if (this.changeAt !== undefined && requests.hasProposals) this.parts.outbox.reached('paxos.change-waited');
  }

  /** A change waits until everything before it is delivered. */
  private mustWait(value: Value): boolean {
    const waits = this.proposals.size > 0 && changeIn(value) !== undefined;
    if (waits) this.parts.outbox.reached('paxos.change-waited');
    return waits;
  }

  /**
   * A change that removes a voter also waits until a quorum of those that vote after it know everything before it for themselves (invariant
   * `removed-is-not-needed`): a vote for the change says nothing about what its voter missed, and who is removed answers no more. One that phase 1 found
   * has had that from the leader that proposed it.
   */
  private mustTeach(value: Value): boolean {
    const { membership, learner, outbox } = this.parts;
    const change = changeIn(value);
    if (change === undefined || !mayFollow(change, membership.configuration)) return false;
    const next = voters(change);
    if (voters(membership.configuration).every((id) => next.includes(id))) return false;
    const { self } = membership.current;
    const knows = (id: ReplicaId): boolean => id === self || this.progressOf(id) >= learner.chosenThrough;
    const waits = next.filter(knows).length * 2 <= next.length;
    if (waits) outbox.reached('paxos.removal-waited');
    return waits;
  }

  /**
   * Others wait behind a removal that waits: for a moment, not for a member that has much to catch up on. Nothing of it has left this
   * replica, so it has no effect for certain.
   */
  private giveUpRemoval(): void {
    const { requests, limits, outbox } = this.parts;
    const first = this.recovered && this.proposals.size === 0 ? requests.firstProposal : undefined;
    if (first === undefined || !this.mustTeach(first.value)) {
      this.removalTicks = 0;
      return;
    }
    if (++this.removalTicks < limits.electionTicks) return;
    this.removalTicks = 0;
    requests.takeProposal();
    outbox.settle({ token: first.token, outcome: 'conflict' });
  }

  private begin({ token, value }: WaitingProposal): void {
    const { membership, outbox } = this.parts;
    const change = changeIn(value);
    if (change === undefined) return this.open(stamped(value, this.ballot), token);
    if (!mayFollow(change, membership.configuration)) {
      outbox.reached('paxos.change-conflict');
      return outbox.settle({ token, outcome: 'conflict' });
    }
    invariant(!this.mustTeach(value), 'removed-is-not-needed', () => `instance ${this.next}`);
    this.provenVersion = change.version;
    this.open(value, token);
  }

  /** Phase 2a. The accepts leave at once, while this replica's own vote goes to disk: the ballot's record has long been there. */
  private open(value: Value, token: number | undefined): void {
    const { acceptor, learner, membership, outbox } = this.parts;
    const members = membership.current;
    const instance = this.next++;
    invariant(token === undefined || this.recovered, 'serves-after-recovery', () => `instance ${instance}`);
    invariant(!this.proposals.has(instance), 'one-value-per-ballot', () => `instance ${instance}`);
    invariant(this.changeAt === undefined, 'change-is-a-barrier', () => `${instance} after ${this.changeAt}`);
    if (changeIn(value) !== undefined) {
      invariant(learner.chosenThrough === instance - 1, 'change-is-a-barrier', () => `${instance}`);
      this.changeAt = instance;
    }
    this.proposals.set(instance, { value, token, members, votes: NO_ANSWERS, ticks: 0 });
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

  private repeat(instance: Instance, { value, members, votes }: Proposal): void {
    const { learner, outbox } = this.parts;
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
    const { learner, membership } = this.parts;
    return membership.current.others.filter((id) => (this.toldBy.get(id) ?? -1) < learner.chosenThrough);
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
