import { invariant } from '@synod/invariant';
import type { Acceptor } from './acceptor';
import { compareBallots, NO_BALLOT, type Ballot, type Instance, type ReplicaId } from './ballot';
import { deliveryOf } from './delivery';
import { isFenced } from './fence';
import type { Membership } from './membership';
import type { ChosenEntry, Value } from './messages';
import type { ReplicaLimits } from './options';
import type { Outbox } from './outbox';
import type { ReplicaRecord } from './records';
import { sameValue, valueBytes } from './value';

type Learned = Extract<ReplicaRecord, { kind: 'learned' }>;
type TailLimits = Pick<ReplicaLimits, 'pageBytes' | 'tailInstances' | 'tailBytes'>;

/**
 * The learner of Multi-Paxos: knows which values are chosen and delivers them in order.
 * Source: Lamport, "Paxos Made Simple", §2.3, with the leader as the distinguished learner that tells the others.
 * Differs from the paper: the leader tells a watermark, not values. A replica that voted finds the value among its own votes.
 *
 * Four watermarks, each at or below the one before:
 * `announced.through` what a leader said is chosen; `knownThrough` whose values are known here; `chosenThrough` what is delivered;
 * `truncatedThrough` what is forgotten, because the store holds its effects for good.
 */
export class Learner {
  /** Chosen values above `truncatedThrough`. Invariant `one-command-per-instance`. */
  private readonly values = new Map<Instance, Value>();
  private announced: { readonly ballot: Ballot; readonly through: Instance } = { ballot: NO_BALLOT, through: 0 };
  private knownThrough_: Instance = 0;
  /** Delivered. Invariant `chosen-once-in-order`: each instance after the one before, once per incarnation. */
  private chosenThrough_: Instance = 0;
  /**
   * Highest ballot that a delivered value names. Invariant `deposed-values-change-nothing`: what a lower ballot proposed is delivered
   * without its commands from then on, by every replica alike, since all have delivered the same before.
   */
  private term: Ballot = NO_BALLOT;
  /** Values and votes up to here are forgotten. Invariants `truncated-is-applied`, `truncated-is-never-empty`. */
  private truncatedThrough_: Instance = 0;
  /** Of the delivered values that are still held. */
  private tailBytes = 0;
  /** The records of all chosen values up to here are known to be on this disk. */
  private loggedThrough: Instance = 0;
  /** Learned values above the store's applied index that the replay found: on this disk too. */
  private readonly replayed = new Set<Instance>();

  constructor(
    private readonly self: ReplicaId,
    private readonly membership: Pick<Membership, 'delivered'>,
    private readonly acceptor: Pick<Acceptor, 'voteAt' | 'promised' | 'forget'>,
    private readonly limits: TailLimits,
    private readonly outbox: Outbox,
  ) {}

  get chosenThrough(): Instance {
    return this.chosenThrough_;
  }

  /** Asked about an instance at or below this, this replica can only say that it is chosen: it has forgotten value and vote. */
  get truncatedThrough(): Instance {
    return this.truncatedThrough_;
  }

  /** Every instance up to here is chosen, and its value known here. What is above `chosenThrough` waits for this disk. */
  get knownThrough(): Instance {
    return this.knownThrough_;
  }

  /** The leader of `ballot` says that every instance up to `through` is chosen. */
  hear(ballot: Ballot, through: Instance): void {
    const order = compareBallots(ballot, this.announced.ballot);
    if (order > 0 || (order === 0 && through > this.announced.through)) this.announced = { ballot, through };
  }

  /**
   * Learns chosen values from a peer, as far as they continue what is known; the rest is asked for again.
   * @param through entries above are ignored
   * @returns whether anything was new
   */
  learn(entries: readonly ChosenEntry[], through: Instance): boolean {
    const before = this.knownThrough_;
    for (const { instance, value } of entries) {
      if (instance > through) break;
      this.agrees(instance, value);
      if (instance !== this.knownThrough_ + 1) continue;
      this.apply({ kind: 'learned', instance, value });
      this.outbox.persist({ kind: 'learned', instance, value });
      this.knownThrough_ = instance;
    }
    if (this.knownThrough_ === before) return false;
    // Comes back when the records of all that is known now, these and the votes before them, are on disk.
    const { promised: ballot } = this.acceptor;
    this.outbox.send(this.self, { kind: 'chosen-reply', ballot, chosenThrough: this.knownThrough_ });
    return true;
  }

  /** This replica's own `chosen-reply` came back. */
  synced(through: Instance): void {
    this.loggedThrough = Math.max(this.loggedThrough, through);
  }

  /** Takes every step the log can take: knows what is announced and voted for, delivers what is known and on disk. */
  advance(): void {
    for (let next = this.knownThrough_ + 1; ; next++) {
      const value = this.values.get(next) ?? this.valueAnnounced(next);
      if (value === undefined) break;
      this.values.set(next, value);
      this.knownThrough_ = next;
    }
    while (this.chosenThrough_ < this.knownThrough_) {
      const instance = this.chosenThrough_ + 1;
      const value = this.values.get(instance);
      invariant(value !== undefined, 'chosen-once-in-order', () => `${instance} has no value`);
      if (!this.isLogged(instance, value)) {
        if (this.acceptor.voteAt(instance)?.synced === false) this.outbox.reached('paxos.chosen-before-synced');
        return;
      }
      this.chosenThrough_ = instance;
      this.membership.delivered(instance, value);
      this.tailBytes += valueBytes(value);
      this.deliver(instance, value);
    }
  }

  /**
   * Forgets what the store holds for good, down to the tail that is kept for peers that lag.
   * @param flushedThrough no end of the process takes the effects of these instances from the store
   */
  truncate(flushedThrough: Instance): void {
    const { chosenThrough, limits } = this;
    invariant(flushedThrough <= chosenThrough, 'truncated-is-applied', () => `${flushedThrough} over ${chosenThrough}`);
    let through = this.truncatedThrough_;
    while (
      through < flushedThrough &&
      (chosenThrough - through > limits.tailInstances || this.tailBytes > limits.tailBytes)
    ) {
      const value = this.values.get(++through);
      invariant(value !== undefined, 'chosen-once-in-order', () => `${through} has no value`);
      this.tailBytes -= valueBytes(value);
    }
    if (through > this.truncatedThrough_) this.forget(through);
  }

  /**
   * The store holds a peer's state after instance `through`: goes on behind it.
   * @param term of that state
   * @returns whether that was new
   */
  installed(through: Instance, term: Ballot): boolean {
    if (through <= this.chosenThrough_) return false;
    invariant(compareBallots(term, this.term) >= 0, 'deposed-values-change-nothing', () => `installed ${through}`);
    this.term = term;
    this.forget(through);
    this.tailBytes = 0;
    this.chosenThrough_ = through;
    this.knownThrough_ = Math.max(this.knownThrough_, through);
    this.loggedThrough = Math.max(this.loggedThrough, through);
    return true;
  }

  /** Chosen values above an instance for which no vote of this replica stands, to be said again before the log is cut. */
  learnedAbove(above: Instance): Learned[] {
    const learned: Learned[] = [];
    for (const [instance, value] of this.values) {
      if (instance <= above) continue;
      const vote = this.acceptor.voteAt(instance);
      if (vote === undefined || !sameValue(vote.value, value)) learned.push({ kind: 'learned', instance, value });
    }
    return learned;
  }

  /** Chosen values from an instance on, contiguous, one page at most. The first must be above `truncatedThrough`. */
  page(firstInstance: Instance): ChosenEntry[] {
    const entries: ChosenEntry[] = [];
    let bytes = 0;
    for (let instance = firstInstance; instance <= this.chosenThrough_; instance++) {
      const value = this.values.get(instance);
      if (value === undefined) break;
      bytes += valueBytes(value);
      if (bytes > this.limits.pageBytes && entries.length > 0) break;
      entries.push({ instance, value });
    }
    return entries;
  }

  /** Replays a record of this disk. */
  restore(record: Learned): void {
    this.apply(record);
    this.replayed.add(record.instance);
  }

  /** Replays that the log begins behind `through`: what it still holds of it is of no use. */
  restoreTruncated(through: Instance): void {
    if (through > this.truncatedThrough_) this.forget(through);
  }

  /**
   * Ends the replay. The store has applied every instance up to `appliedThrough`, so each is chosen. Where the log begins, behind what
   * was truncated (invariant `truncated-is-applied`: only what the store holds for good) or came by snapshot, each has its record here,
   * having been delivered only when that was on this disk (invariant `applied-is-logged`): a learned value, else the latest vote. That
   * vote has the chosen value: without a learned record, delivery rested on a vote of a ballot in which the value was chosen, so that
   * every vote of a higher ballot carries it too.
   * @param term of the state that the store holds
   */
  restored(appliedThrough: Instance, snapshotThrough: Instance, term: Ballot): void {
    this.term = term;
    this.restoreTruncated(snapshotThrough);
    invariant(
      this.truncatedThrough_ <= appliedThrough,
      'truncated-is-applied',
      () => `the log begins behind ${this.truncatedThrough_}, the store has applied ${appliedThrough}`,
    );
    for (let instance = this.truncatedThrough_ + 1; instance <= appliedThrough; instance++) {
      const value = this.values.get(instance) ?? this.acceptor.voteAt(instance)?.value;
      invariant(
        value !== undefined,
        'applied-is-logged',
        () => `the store applied ${instance}, the log does not hold it`,
      );
      this.values.set(instance, value);
      this.replayed.delete(instance);
      this.tailBytes += valueBytes(value);
    }
    this.chosenThrough_ = this.knownThrough_ = this.loggedThrough = appliedThrough;
  }

  /**
   * The value of a vote that the announced watermark covers. Only a vote of the announcing leader's own ballot has the chosen value for
   * certain: a vote of a lower ballot may have lost to another value, which then must be fetched. A leader announces what lies above
   * its floor only once its own ballot chose it, and proposes nothing below, so a vote of its ballot is a vote for what it announces.
   */
  private valueAnnounced(instance: Instance): Value | undefined {
    if (instance > this.announced.through) return undefined;
    const vote = this.acceptor.voteAt(instance);
    if (vote === undefined) return undefined;
    if (compareBallots(vote.ballot, this.announced.ballot) === 0) return vote.value;
    this.outbox.reached('paxos.vote-not-of-announcer');
    return undefined;
  }

  private deliver(instance: Instance, value: Value): void {
    if (isFenced(value, this.term)) this.outbox.reached('paxos.value-fenced');
    const delivery = deliveryOf({ instance, value }, this.term);
    this.term = delivery.term;
    this.outbox.chosen(delivery);
  }

  /** Whether a restart would find this chosen value here. What is delivered may reach the store's disk before the log's. */
  private isLogged(instance: Instance, value: Value): boolean {
    if (instance <= this.loggedThrough || this.replayed.has(instance)) return true;
    const vote = this.acceptor.voteAt(instance);
    return vote !== undefined && vote.synced && sameValue(vote.value, value);
  }

  private forget(through: Instance): void {
    for (const instance of this.values.keys()) if (instance <= through) this.values.delete(instance);
    for (const instance of this.replayed) if (instance <= through) this.replayed.delete(instance);
    this.acceptor.forget(through);
    this.truncatedThrough_ = through;
  }

  private agrees(instance: Instance, value: Value): void {
    const known = this.values.get(instance);
    invariant(known === undefined || sameValue(known, value), 'one-command-per-instance', () => `instance ${instance}`);
  }

  private apply({ instance, value }: Learned): void {
    this.agrees(instance, value);
    this.values.set(instance, value);
  }
}
