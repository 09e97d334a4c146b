import { invariant } from '@synod/invariant';
import { compareBallots, formatBallot, NO_BALLOT, type Ballot, type Instance, type ReplicaId } from './ballot';
import type { Message, Value, Vote } from './messages';
import type { Outbox } from './outbox';
import type { ReplicaRecord } from './records';
import { sameValue, valueBytes } from './value';

type Prepare = Extract<Message, { kind: 'prepare' }>;
type Accept = Extract<Message, { kind: 'accept' }>;
type AcceptorRecord = Extract<ReplicaRecord, { kind: 'promised' | 'voted' }>;
type KeptRecord = Extract<ReplicaRecord, { kind: 'kept' }>;

/** A vote as this acceptor holds it. */
interface HeldVote extends Vote {
  /** Its record is known to be on this disk. Invariant `applied-is-logged`: until then its value is not delivered here. */
  synced: boolean;
}

/**
 * The acceptor of Multi-Paxos: promises ballots and votes for values.
 * Source: Lamport, "Paxos Made Simple", §2.2 phases 1(b) and 2(b); one promise for all instances at once, as in §3.
 * Differs from the paper: answers a stale ballot with a nack, so its proposer can move on at once; tells its chosen watermark with
 * every answer, so that what is chosen need not be voted on again.
 */
export class Acceptor {
  /** Highest ballot promised. Invariant `promise-never-decreases`; no vote exceeds it (`no-vote-exceeds-promise`). */
  private promised_: Ballot = NO_BALLOT;
  /** Latest vote per instance above the learner's truncation index. */
  private readonly votes = new Map<Instance, HeldVote>();
  /** Of the values in `votes`. */
  private heldBytes_ = 0;
  /** Highest instance voted in; what a promise has to look at ends there. */
  private votedThrough = 0;

  constructor(
    private readonly self: ReplicaId,
    private readonly pageBytes: number,
    private readonly outbox: Outbox,
  ) {}

  get promised(): Ballot {
    return this.promised_;
  }

  /** Bytes of the values that this acceptor voted for and has not forgotten. */
  get heldBytes(): number {
    return this.heldBytes_;
  }

  voteAt(instance: Instance): (Vote & { readonly synced: boolean }) | undefined {
    return this.votes.get(instance);
  }

  /** Phases 1(b) and 2(b). `chosenThrough` is the watermark to tell with the answer. */
  receive(from: ReplicaId, message: Prepare | Accept, chosenThrough: Instance): void {
    // Equal ballots pass: a ballot has one owner, so this is that owner retrying a lost reply.
    if (compareBallots(message.ballot, this.promised_) < 0) return this.nack(from, message.ballot);
    switch (message.kind) {
      case 'prepare':
        return this.promise(from, message, chosenThrough);
      case 'accept':
        return this.accept(from, message, chosenThrough);
    }
  }

  /** Refuses a ballot. Sent after the disk: it reveals a promise. */
  nack(to: ReplicaId, ballot: Ballot): void {
    this.outbox.send(to, { kind: 'nack', ballot, promised: this.promised_ });
  }

  /** A proposer's own new round, or a peer's: from now on nothing lower. */
  raise(ballot: Ballot): void {
    if (compareBallots(ballot, this.promised_) > 0) this.record({ kind: 'promised', ballot });
  }

  /**
   * Votes, and tells `to` and this replica itself once the vote is on disk: the leader may count it only then, and only then is
   * the value delivered here.
   */
  vote(to: ReplicaId, ballot: Ballot, instance: Instance, value: Value, chosenThrough: Instance): void {
    this.record({ kind: 'voted', instance, ballot, value });
    this.outbox.send(this.self, { kind: 'accepted', ballot, instance, chosenThrough });
    if (to !== this.self) this.outbox.send(to, { kind: 'accepted', ballot, instance, chosenThrough });
  }

  /** This replica's own `accepted` came back: the vote's record is on disk. A later vote there has an `accepted` of its own. */
  synced(ballot: Ballot, instance: Instance): void {
    const vote = this.votes.get(instance);
    if (vote !== undefined && compareBallots(vote.ballot, ballot) === 0) vote.synced = true;
  }

  /** Forgets the votes up to an instance; all of these are chosen, and their effects are flushed in the store. */
  forget(through: Instance): void {
    for (const [instance, { value }] of this.votes) {
      if (instance > through) continue;
      this.votes.delete(instance);
      this.heldBytes_ -= valueBytes(value);
    }
  }

  /** Replays a record of this disk. */
  restore(record: AcceptorRecord | KeptRecord): void {
    if (record.kind === 'kept') return this.restoreKept(record);
    this.apply(record);
    if (record.kind === 'voted') this.synced(record.ballot, record.instance);
  }

  /** The promise, to be said again before the part of the log that holds it is cut off. */
  hardState(): AcceptorRecord[] {
    return compareBallots(this.promised_, NO_BALLOT) > 0 ? [{ kind: 'promised', ballot: this.promised_ }] : [];
  }

  /** The votes above an instance, in the order of instances, to be said again likewise. */
  votesAbove(above: Instance): KeptRecord[] {
    const kept: KeptRecord[] = [];
    for (let instance = above + 1; instance <= this.votedThrough; instance++) {
      const vote = this.votes.get(instance);
      if (vote !== undefined) kept.push({ kind: 'kept', instance, ballot: vote.ballot, value: vote.value });
    }
    return kept;
  }

  private promise(from: ReplicaId, { ballot, firstInstance }: Prepare, chosenThrough: Instance): void {
    this.raise(ballot);
    // What is chosen the proposer fetches by catch-up; it is told of every vote above.
    const pages = this.pages(Math.max(firstInstance, chosenThrough + 1));
    pages.forEach((votes, page) => {
      const last = page === pages.length - 1;
      this.outbox.send(from, { kind: 'promise', ballot, firstInstance, page, last, votes, chosenThrough });
    });
    if (pages.length > 1) this.outbox.reached('paxos.promise-paged');
  }

  private accept(from: ReplicaId, { ballot, instance, value }: Accept, chosenThrough: Instance): void {
    const held = this.votes.get(instance);
    if (held === undefined || compareBallots(held.ballot, ballot) !== 0) {
      return this.vote(from, ballot, instance, value, chosenThrough);
    }
    invariant(sameValue(held.value, value), 'one-value-per-ballot', () => `${formatBallot(ballot)} at ${instance}`);
    this.outbox.send(from, { kind: 'accepted', ballot, instance, chosenThrough }); // The leader missed the first answer.
  }

  /** All votes from an instance on, cut into pages; one empty page if there are none. */
  private pages(firstInstance: Instance): Vote[][] {
    let page: Vote[] = [];
    let bytes = 0;
    const pages = [page];
    for (let instance = firstInstance; instance <= this.votedThrough; instance++) {
      const vote = this.votes.get(instance);
      if (vote === undefined) continue;
      bytes += valueBytes(vote.value);
      if (bytes > this.pageBytes && page.length > 0) {
        pages.push((page = []));
        bytes = valueBytes(vote.value);
      }
      page.push({ instance, ballot: vote.ballot, value: vote.value });
    }
    return pages;
  }

  private restoreKept({ instance, ballot, value }: KeptRecord): void {
    invariant(compareBallots(ballot, this.promised_) <= 0, 'no-vote-exceeds-promise', () => formatBallot(ballot));
    this.hold({ instance, ballot, value, synced: true });
  }

  private hold(vote: HeldVote): void {
    const before = this.votes.get(vote.instance);
    this.heldBytes_ += valueBytes(vote.value) - (before === undefined ? 0 : valueBytes(before.value));
    this.votes.set(vote.instance, vote);
    this.votedThrough = Math.max(this.votedThrough, vote.instance);
  }

  private record(record: AcceptorRecord): void {
    this.outbox.persist(record);
    this.apply(record);
  }

  /** The only place where promise and votes change: the live path and crash recovery share it. */
  private apply(record: AcceptorRecord): void {
    const { ballot } = record;
    invariant(
      compareBallots(ballot, this.promised_) >= 0,
      'promise-never-decreases',
      () => `${formatBallot(ballot)} after ${formatBallot(this.promised_)}`,
    );
    this.promised_ = ballot;
    if (record.kind === 'promised') return;
    invariant(compareBallots(ballot, this.promised_) <= 0, 'no-vote-exceeds-promise', () => formatBallot(ballot));
    this.hold({ instance: record.instance, ballot, value: record.value, synced: false });
  }
}
