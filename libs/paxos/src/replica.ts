import { invariant, unreachable } from '@synod/invariant';
import { Acceptor } from './acceptor';
import { compareBallots, formatBallot, NO_BALLOT, type Ballot, type Instance, type ReplicaId } from './ballot';
import { CatchUp } from './catch-up';
import type { Effects, Input } from './effects';
import { Leadership } from './leadership';
import { Learner } from './learner';
import { LeaseGrants } from './lease-grants';
import { changeIn, changeTo, type Configuration } from './configuration';
import type { Members } from './members';
import { Membership } from './membership';
import type { Message, Released, Value } from './messages';
import { DEFAULT_LIMITS, type LeaseTerms, type ReplicaLimits, type ReplicaOptions } from './options';
import { Outbox } from './outbox';
import { PhaseOne, type Found } from './phase-one';
import { Probing } from './probing';
import type { ReplicaRecord } from './records';
import { Requests } from './requests';
import { valueBytes } from './value';

/** What a replica is busy with beside accepting and learning. */
type Role = { readonly kind: 'follower' } | Probing | PhaseOne | Leadership;

const FOLLOWER: Role = { kind: 'follower' };

type LeaderMessage = Extract<Message, { kind: 'accept' | 'chosen' | 'confirm' | 'take-over' }>;

/**
 * A member of a Multi-Paxos group: acceptor, learner and, at times, proposer in one deterministic state machine.
 * Source: Lamport, "Paxos Made Simple", §2 and §3. The parts are files of their own: `Acceptor` (phases 1b and 2b), `Learner`
 * (§2.3), `Probing` and `PhaseOne` (a campaign), `Leadership` (phase 2), `ReadIndex`, `CatchUp`. This file says who hears what.
 *
 * Same records, same inputs: same effects.
 */
export class Replica {
  private readonly limits: ReplicaLimits;
  private readonly membership: Membership;
  private readonly outbox = new Outbox();
  private readonly acceptor: Acceptor;
  private readonly learner: Learner;
  private readonly catchUp: CatchUp;
  private readonly requests: Requests;
  private readonly grants: LeaseGrants;
  private readonly leases: LeaseTerms | undefined;
  private current: Role = FOLLOWER;
  /** Ballot of the replica believed to lead or to be about to; `undefined` once it is lost. */
  private leader: Ballot | undefined;
  /** The configuration that what this replica is busy with has met. */
  private roleVersion: number;
  /** Highest ballot seen anywhere: a campaign below it would be wasted. */
  private seen: Ballot = NO_BALLOT;
  /** Ballot of a leader that waits to hear that its watermark has arrived. */
  private owesReplyTo: Ballot | undefined;
  /** The host's clock, in the turn that this step is of; known while `mindsTime`. */
  private nowUs: number | undefined;
  /** What the last leader that handed over to this replica gave up for it. */
  private released: Released | undefined;

  constructor(options: ReplicaOptions) {
    const { self, members, configuration, ahead, leases, ...limits } = options;
    this.leases = leases;
    this.limits = { ...DEFAULT_LIMITS, ...limits };
    this.membership = new Membership(self, { members, configuration, ahead });
    this.roleVersion = this.membership.version;
    this.acceptor = new Acceptor(self, this.limits.pageBytes, this.outbox);
    this.learner = new Learner(self, this.membership, this.acceptor, this.limits, this.outbox);
    this.catchUp = new CatchUp(this.membership, this.limits, this.outbox);
    this.requests = new Requests(this.limits, this.outbox);
    this.grants = new LeaseGrants(leases, this.outbox);
  }

  /** Replays a record of this replica's disk, in the order in which they were persisted; before `restored`. */
  restore(record: ReplicaRecord): void {
    if (record.kind === 'learned') this.learner.restore(record);
    else if (record.kind === 'truncated') this.learner.restoreTruncated(record.through);
    else if (record.kind === 'granted') this.grants.restore(record.holdUs);
    else this.acceptor.restore(record);
  }

  /**
   * Ends the replay; before the first `step`, even if there was no record.
   * @param appliedThrough highest instance whose effects the store holds; 0 for none. `chosen` goes on with the next one
   * @param snapshotThrough highest instance whose effects the store got by snapshot: the log need not hold it or what is below
   * @param term that the store holds beside `appliedThrough`, as `chosen` told it
   */
  restored(appliedThrough: Instance, snapshotThrough: Instance = 0, term: Ballot = NO_BALLOT): void {
    this.learner.restored(appliedThrough, snapshotThrough, term);
  }

  /**
   * Says again what a restart must find whatever was cut off the log, and that the log now begins behind `through`.
   * @param through the store must hold it for good: the cut must not reach beyond, or `recordsAbove` must be said as well
   */
  hardState(through: Instance): ReplicaRecord[] {
    return [...this.acceptor.hardState(), ...this.grants.hardState, { kind: 'truncated', through }];
  }

  /**
   * Says again all votes and learned values above an instance; behind `hardState`, if part of their records are to be cut off.
   * @param above at or above `truncatedThrough`: what was forgotten here because of a snapshot that the store does not hold for good yet
   * is still needed, and only the old records have it
   */
  recordsAbove(above: Instance): ReplicaRecord[] {
    invariant(above >= this.truncatedThrough, 'forgotten-is-not-said-again', () => `${above}`);
    return [...this.acceptor.votesAbove(above), ...this.learner.learnedAbove(above)];
  }

  step(input: Input): Effects {
    if (input.kind === 'time') return this.seeTime(input.nowUs);
    invariant(this.nowUs !== undefined || !this.mindsTime, 'time-comes-first');
    switch (input.kind) {
      case 'receive':
        if (this.hears(input.from, input.message)) this.receive(input.from, input.message);
        break;
      case 'propose':
        if (this.current.kind === 'follower') this.outbox.settle({ token: input.token, outcome: 'not-leader' });
        else {
          invariant(changeIn(input.value) === undefined, 'changes-come-as-changes');
          this.requests.propose(input.token, input.value);
        }
        break;
      case 'change':
        if (this.current.kind === 'follower') this.outbox.settle({ token: input.token, outcome: 'not-leader' });
        else this.requests.propose(input.token, changeTo(input.configuration));
        break;
      case 'read':
        if (this.current.kind === 'follower') this.outbox.settle({ token: input.token, outcome: 'not-leader' });
        else this.requests.read(input.token);
        break;
      case 'transfer':
        this.transfer(input.token, input.to);
        break;
      case 'time-doubted':
        if (this.current.kind === 'leading') this.current.doubtLease();
        break;
      case 'tick':
        this.tick();
        break;
      case 'leader-lost':
        this.leaderLost();
        break;
      case 'led-by':
        this.ledBy(input.ballot, input.chosenThrough);
        break;
      case 'truncate':
        this.truncate(input.flushedThrough);
        break;
      case 'snapshot-installed':
        this.installed(input.through, input.term, input.configuration);
        break;
      default:
        unreachable(input);
    }
    this.endStep();
    return this.outbox.take();
  }

  get role(): 'follower' | 'candidate' | 'leader' {
    switch (this.current.kind) {
      case 'follower':
        return 'follower';
      case 'probing':
      case 'preparing':
        return 'candidate';
      case 'leading':
        return 'leader';
    }
  }

  /** Highest ballot promised. */
  get promised(): Ballot {
    return this.acceptor.promised;
  }

  /** Ballot of the replica believed to lead, this one included; `undefined` if none is known or it was lost. */
  get leaderBallot(): Ballot | undefined {
    return this.leader;
  }

  /** The configuration of the next instance after `chosenThrough`. */
  get configuration(): Configuration {
    return this.membership.configuration;
  }

  /** Delivered as `chosen` through here. */
  get chosenThrough(): Instance {
    return this.learner.chosenThrough;
  }

  private get members(): Members {
    return this.membership.current;
  }

  /** How much of the log a member is known to have, if this replica leads. */
  progressOf(member: ReplicaId): Instance | undefined {
    return this.current.kind === 'leading' ? this.current.progressOf(member) : undefined;
  }

  /** The log begins behind this: asked about what is below, this replica only knows that it is chosen. */
  get truncatedThrough(): Instance {
    return this.learner.truncatedThrough;
  }

  /** Leads, and everything found in phase 1 and a value of its own are chosen and delivered: reads and proposals are being served. */
  get leads(): boolean {
    return this.current.kind === 'leading' && this.current.recovered;
  }

  /** Whether it has to be told the time, by an input before the others of each turn. */
  get mindsTime(): boolean {
    return this.grants.mindsTime;
  }

  /** Whether it waits for something that a lost message could withhold for ever. Only then it needs ticks. */
  get restless(): boolean {
    if (this.isBehind) return true;
    return this.current.kind === 'leading' ? this.current.restless : this.current.kind !== 'follower';
  }

  /** Nothing else follows from it: what waits for a time looks at it at a tick, or when it is asked. */
  private seeTime(nowUs: number): Effects {
    invariant(nowUs >= (this.nowUs ?? nowUs), 'time-never-goes-back', () => `${nowUs} after ${this.nowUs}`);
    this.nowUs = nowUs;
    this.grants.at(nowUs);
    return this.outbox.take();
  }

  /** Late words of a removed replica change nothing; but a leader that its own change removed names its successor as its last. */
  private hears(from: ReplicaId, message: Message): boolean {
    if (this.membership.admits(from)) return true;
    return message.kind === 'take-over' && compareBallots(message.ballot, this.promised) === 0;
  }

  private receive(from: ReplicaId, message: Message): void {
    switch (message.kind) {
      case 'probe':
        return this.answerProbe(from, message.ballot);
      case 'probe-reply':
        this.see(message.promised);
        this.catchUp.want(message.chosenThrough, from);
        if (this.current.kind !== 'probing') return;
        this.current.reply(from, message);
        return this.endProbing();
      case 'prepare':
        if (from !== message.ballot.replica) return;
        // As if it had not come: the candidate asks again.
        if (this.mustHold(message.ballot, message.released)) return this.outbox.reached('paxos.promise-held-back');
        this.grants.release(message.released);
        if (compareBallots(message.ballot, this.promised) > 0) this.follow(message.ballot);
        // A promise tells the votes above its watermark: what was forgotten must not pass for never voted on.
        invariant(this.truncatedThrough <= this.chosenThrough, 'truncated-is-never-empty');
        return this.acceptor.receive(from, message, this.chosenThrough);
      case 'promise':
        if (this.current.kind === 'preparing' && compareBallots(message.ballot, this.current.ballot) === 0) {
          const found = this.current.promise(from, message);
          if (found !== undefined) this.lead(this.current.ballot, found);
        }
        return;
      case 'nack':
        return this.outbid(message.promised);
      case 'accept':
      case 'chosen':
      case 'confirm':
      case 'take-over':
        return this.hearLeader(from, message);
      case 'accepted':
        if (from === this.members.self) this.acceptor.synced(message.ballot, message.instance);
        this.leadershipIn(message.ballot)?.accepted(from, message);
        return;
      case 'chosen-reply':
        if (from === this.members.self) this.learner.synced(message.chosenThrough);
        else this.leadershipIn(message.ballot)?.told(from, message.chosenThrough);
        return;
      case 'confirmed':
        this.leadershipIn(message.ballot)?.confirmed(from, message);
        return;
      case 'catch-up':
        return this.answerCatchUp(from, message.firstInstance);
      case 'catch-up-reply':
        return this.learnFrom(from, message);
      case 'needs-snapshot':
        return this.hearOfTruncation(from, message.truncatedThrough);
      default:
        return unreachable(message);
    }
  }

  /** What only the leader of a ballot says. Heard only from the ballot's owner, and only if nothing higher was promised. */
  private hearLeader(from: ReplicaId, message: LeaderMessage): void {
    const { ballot } = message;
    if (from !== ballot.replica || from === this.members.self) return;
    if (compareBallots(ballot, this.promised) < 0) return this.acceptor.nack(from, ballot);
    this.follow(ballot);
    switch (message.kind) {
      case 'accept':
        this.hearAccept(from, message);
        return this.hearWatermark(ballot, message.chosenThrough);
      case 'chosen':
        this.owesReplyTo = ballot;
        return this.hearWatermark(ballot, message.chosenThrough);
      case 'confirm':
        return this.confirm(from, message);
      case 'take-over':
        return this.takeOver(message);
    }
  }

  private confirm(from: ReplicaId, { ballot, round, holdUs }: Extract<Message, { kind: 'confirm' }>): void {
    if (holdUs !== undefined && this.grants.grant(ballot, round, holdUs, this.nowUs ?? 0)) {
      return this.outbox.send(from, { kind: 'confirmed', ballot, round, held: true });
    }
    // Claims nothing about this disk: nothing higher is promised even in memory.
    this.outbox.sendNow(from, { kind: 'confirmed', ballot, round });
  }

  /** The leader itself asks for a successor: nobody has to be asked whether it is lost. */
  private takeOver({ ballot, round }: Extract<Message, { kind: 'take-over' }>): void {
    if (this.current.kind !== 'follower' || !this.membership.mayLead) return;
    if (round !== undefined) this.released = { ballot, round };
    this.grants.release(this.released);
    if (this.mustHold(this.nextBallot())) return this.outbox.reached('paxos.promise-held-back');
    this.outbox.reached('paxos.took-over');
    this.campaign();
  }

  /**
   * Below its truncation index an acceptor does not vote: it has forgotten whether it did. It tells its watermark instead. (A leader that
   * lacks votes for such an instance lost them to a quorum that excluded this replica; it steps down, and its next phase 1 hears the watermark.)
   */
  private hearAccept(from: ReplicaId, message: Extract<Message, { kind: 'accept' }>): void {
    if (this.holdsEnough) return this.outbox.reached('paxos.vote-withheld');
    if (message.instance > this.truncatedThrough) {
      this.acceptor.receive(from, message, this.chosenThrough);
      return this.checkHeld(message.value);
    }
    this.outbox.reached('paxos.accept-below-truncation');
    this.owesReplyTo = message.ballot;
  }

  /**
   * Nothing above a gap can be delivered, and so forgotten. Invariant `votes-above-a-gap-are-bounded`: a replica that fetches what is
   * below it, a snapshot perhaps, gives no more votes than fit; a leader that needs them waits until it has caught up. What it misses it
   * fetches as well.
   */
  private get holdsEnough(): boolean {
    return this.acceptor.heldBytes >= this.limits.behindBytes && this.isBehind;
  }

  private get isBehind(): boolean {
    return this.catchUp.lacks(this.learner.knownThrough);
  }

  private checkHeld(last: Value): void {
    if (!this.isBehind) return;
    const { heldBytes } = this.acceptor;
    const bound = this.limits.behindBytes + valueBytes(last);
    invariant(heldBytes < bound, 'votes-above-a-gap-are-bounded', () => `${heldBytes} of ${bound} bytes`);
  }

  private answerCatchUp(from: ReplicaId, firstInstance: Instance): void {
    if (firstInstance <= this.truncatedThrough) {
      return this.outbox.sendNow(from, { kind: 'needs-snapshot', truncatedThrough: this.truncatedThrough });
    }
    const entries = this.learner.page(firstInstance);
    this.outbox.sendNow(from, { kind: 'catch-up-reply', entries, chosenThrough: this.chosenThrough });
  }

  /** The request stays open: the next goes to another peer, whose log may reach further back. */
  private hearOfTruncation(from: ReplicaId, truncatedThrough: Instance): void {
    if (truncatedThrough <= this.learner.knownThrough) return;
    this.outbox.needsSnapshot(from);
    this.outbox.reached('paxos.snapshot-needed');
  }

  private hearWatermark(ballot: Ballot, chosenThrough: Instance): void {
    this.learner.hear(ballot, chosenThrough);
    this.catchUp.want(chosenThrough, ballot.replica);
  }

  /** Another replica leads, or is about to: whatever this one was up to in a lower ballot is over. */
  private follow(ballot: Ballot): void {
    if (ballot.replica === this.members.self) return;
    this.see(ballot);
    if (this.current.kind === 'probing') this.stepDown();
    else this.outbid(ballot);
    if (this.leader === undefined || compareBallots(ballot, this.leader) > 0) this.leader = ballot;
  }

  /** A ballot was promised somewhere. If it is higher than this replica's own, its own has lost. */
  private outbid(promised: Ballot): void {
    this.see(promised);
    if (this.current.kind !== 'preparing' && this.current.kind !== 'leading') return;
    if (compareBallots(promised, this.current.ballot) <= 0) return;
    this.outbox.reached(this.current.kind === 'leading' ? 'paxos.leader-outbid' : 'paxos.candidate-outbid');
    this.stepDown(promised);
  }

  private see(ballot: Ballot): void {
    if (compareBallots(ballot, this.seen) > 0) this.seen = ballot;
  }

  /** Grants nothing and changes nothing: it only says whether a campaign would find support here. */
  private answerProbe(from: ReplicaId, ballot: Ballot): void {
    const lost = this.leader === undefined || this.leader.replica === from;
    const campaigns = this.current.kind === 'preparing';
    const held = this.mustHold(ballot);
    if (held) this.outbox.reached('paxos.promise-held-back');
    const granted = lost && !held && !campaigns && compareBallots(ballot, this.promised) > 0;
    if (!lost) this.outbox.reached('paxos.probe-refused');
    this.outbox.sendNow(from, {
      kind: 'probe-reply',
      ballot,
      granted,
      promised: this.promised,
      chosenThrough: this.chosenThrough,
    });
    // Who asks a living leader has not heard of it, and in an idle group might never.
    if (this.current.kind === 'leading') this.current.tell([from]);
  }

  private leaderLost(): void {
    if (this.current.kind === 'leading') return;
    this.leader = undefined;
    if (this.current.kind === 'follower') this.probe();
  }

  private probe(): void {
    if (!this.membership.mayLead) return;
    const probing = new Probing(this.nextBallot(), this.members, this.limits, this.outbox);
    this.current = probing;
    this.endProbing(); // Alone in its group.
  }

  /** Campaigns once a majority would support it, and this replica's own promise is not held back for another. */
  private endProbing(): void {
    if (this.current.kind === 'probing' && this.current.succeeded && !this.mustHold(this.nextBallot())) this.campaign();
  }

  /** Whether a promise to a ballot would break the lease of a leader: invariant `no-promise-under-a-granted-lease`. */
  private mustHold(ballot: Ballot, released?: Released): boolean {
    return this.grants.forbid(ballot, released, this.nowUs ?? 0);
  }

  private transfer(token: number, to: ReplicaId): void {
    if (this.current.kind !== 'leading') this.outbox.settle({ token, outcome: 'not-leader' });
    else if (to === this.members.self) this.outbox.settle({ token, outcome: 'transferred' });
    else if (!this.members.votes(to)) this.outbox.settle({ token, outcome: 'not-transferred' });
    else this.current.transfer(token, to);
  }

  private nextBallot(): Ballot {
    return { round: Math.max(this.promised.round, this.seen.round) + 1, replica: this.members.self };
  }

  private campaign(): void {
    // A fresh round even after a clean restart: reuse could give a ballot two values.
    const ballot = this.nextBallot();
    invariant(ballot.round > this.promised.round, 'round-never-reused');
    invariant(!this.mustHold(ballot), 'no-promise-under-a-granted-lease', () => formatBallot(ballot));
    this.acceptor.raise(ballot);
    this.leader = undefined;
    const { members, limits, outbox, released } = this;
    this.current = new PhaseOne(ballot, this.chosenThrough + 1, members, limits, outbox, released);
  }

  private lead(ballot: Ballot, found: Found): void {
    invariant(compareBallots(ballot, this.promised) === 0, 'leader-holds-its-promise', () => formatBallot(ballot));
    const { membership, acceptor, learner, requests, limits, outbox, leases } = this;
    this.current = new Leadership(ballot, found, { membership, acceptor, learner, requests, limits, outbox, leases });
    this.leader = ballot;
    this.learner.hear(ballot, found.floor);
    this.catchUp.want(found.floor, found.floorHolder);
  }

  /** This replica's leadership in a ballot; answers to any other of its ballots come too late. */
  private leadershipIn(ballot: Ballot): Leadership | undefined {
    const { current } = this;
    return current.kind === 'leading' && compareBallots(current.ballot, ballot) === 0 ? current : undefined;
  }

  /** @param by the higher ballot, if one is why */
  private stepDown(by?: Ballot): void {
    if (this.current.kind === 'leading') this.current.abandon(by);
    this.requests.refuse();
    this.current = FOLLOWER;
    if (this.leader?.replica === this.members.self) this.leader = undefined;
  }

  private ledBy(ballot: Ballot, chosenThrough: Instance): void {
    if (ballot.replica === this.members.self || !this.membership.admits(ballot.replica)) return;
    if (compareBallots(ballot, this.promised) < 0) return this.acceptor.nack(ballot.replica, ballot);
    this.follow(ballot);
    this.hearWatermark(ballot, chosenThrough);
  }

  /** Another configuration holds from the next instance on. What was begun under the last one may not go on under it. */
  private meetConfiguration(): void {
    const { current, membership } = this;
    this.roleVersion = membership.version;
    switch (current.kind) {
      case 'follower':
        return;
      case 'leading':
        if (!membership.mayLead) {
          if (current.proven) current.bowOut();
          return this.stepDown();
        }
        if (current.proven) return;
        current.abandon(undefined);
        break;
      case 'probing':
      case 'preparing':
        if (!membership.mayLead) return this.stepDown();
    }
    // Promises of the last configuration's quorum say nothing of what the present one's may have chosen.
    this.outbox.reached('paxos.prepared-again');
    if (current.kind === 'probing') this.probe();
    else this.campaign();
  }

  private learnFrom(from: ReplicaId, { entries, chosenThrough }: Extract<Message, { kind: 'catch-up-reply' }>): void {
    const through = this.current.kind === 'leading' ? this.current.learnsThrough : Infinity;
    const progress = this.learner.learn(entries, through);
    if (progress) this.outbox.reached('paxos.caught-up');
    this.catchUp.replied(from, progress, chosenThrough, this.learner.knownThrough);
  }

  private truncate(flushedThrough: Instance): void {
    const before = this.truncatedThrough;
    this.learner.truncate(flushedThrough);
    if (this.truncatedThrough > before) this.outbox.reached('paxos.log-truncated');
  }

  private installed(through: Instance, term: Ballot, configuration: Configuration): void {
    if (!this.learner.installed(through, term)) return;
    this.membership.installed(configuration);
    this.outbox.reached('paxos.snapshot-installed');
    // Above its floor a leader must know chosen values by votes of its own ballot alone: what it announced would not be what it proposed.
    if (this.current.kind === 'leading' && through > this.current.learnsThrough) this.stepDown();
  }

  private tick(): void {
    this.catchUp.tick();
    switch (this.current.kind) {
      case 'follower':
        return;
      case 'probing':
      case 'preparing':
        // Quiet until the host, which draws the delays, says again that the leader is lost.
        if (this.current.tick() === 'give-up') this.stepDown();
        return this.endProbing();
      case 'leading':
        if (this.current.tick()) return;
        this.outbox.reached('paxos.check-quorum-failed');
        this.stepDown();
    }
  }

  /** What every step may have made possible. */
  private endStep(): void {
    this.learner.advance();
    if (this.current.kind === 'leading') this.current.endStep(this.nowUs);
    if (this.roleVersion !== this.membership.version) this.meetConfiguration();
    this.catchUp.ask(this.learner.knownThrough);
    const ballot = this.owesReplyTo;
    if (ballot === undefined || this.catchUp.lacks(this.chosenThrough)) return;
    this.outbox.sendNow(ballot.replica, { kind: 'chosen-reply', ballot, chosenThrough: this.chosenThrough });
    this.owesReplyTo = undefined;
  }
}
