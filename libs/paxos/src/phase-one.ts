import { compareBallots, type Ballot, type Instance, type ReplicaId } from './ballot';
import { NO_ANSWERS, type Answers, type Members } from './members';
import type { Message, Released, Value, Vote } from './messages';
import type { ReplicaLimits } from './options';
import type { Outbox } from './outbox';
import { Patience, type Urge } from './patience';

type PromisePage = Extract<Message, { kind: 'promise' }>;

/** What a quorum of promises says about the log: where the new leader starts, and what it must propose there. */
export interface Found {
  /**
   * Highest watermark of the quorum. Everything up to here is chosen: it is fetched, never proposed. A promise leaves out the votes
   * at or below its own watermark, so only above the highest of them has the whole quorum told all its votes.
   */
  readonly floor: Instance;
  /** A member that knows every instance up to `floor`. */
  readonly floorHolder: ReplicaId;
  /** For each instance above the floor with a vote: the value of the vote of the highest ballot. */
  readonly carried: ReadonlyMap<Instance, Value>;
  /** Highest instance with a vote, or the floor. Nothing above was ever voted for by the quorum. */
  readonly lastFound: Instance;
}

/** A promise of which pages are still missing. */
interface PartialPromise {
  /** The watermark that its pages start above. Pages of different watermarks are cut differently and never mix. */
  readonly chosenThrough: Instance;
  readonly pages: (readonly Vote[] | undefined)[];
  pageCount: number | undefined;
}

/**
 * Phase 1 for all instances from `firstInstance` on, in one ballot.
 * Source: Lamport, "Paxos Made Simple", §2.2 phase 1 and §3: one prepare covers infinitely many instances.
 * Differs from the paper: a promise comes in pages, and leaves out what its sender knows to be chosen.
 *
 * That is also why acceptors may forget the old end of their logs. A replica forgets only what it has delivered, so its truncation index
 * is at or below the watermark that goes with its promise (invariant `truncated-is-never-empty`), and the floor, the highest of these,
 * is at or above the truncation index of every member of the quorum: no forgotten instance is ever taken for one without a vote. A
 * restart keeps this: what the log may lack was in the store for good (`truncated-is-applied`), where the watermark begins again.
 *
 * The prepare leaves in `send`, after the record of its ballot (invariant `round-never-reused`), to this replica too: its own
 * promise is one among the others and counts once it is on disk.
 */
export class PhaseOne {
  readonly kind = 'preparing';
  private readonly partial = new Map<ReplicaId, PartialPromise>();
  private readonly complete = new Map<ReplicaId, { chosenThrough: Instance; votes: readonly Vote[] }>();
  private promises: Answers = NO_ANSWERS;
  private readonly patience: Patience;

  constructor(
    readonly ballot: Ballot,
    private readonly firstInstance: Instance,
    private readonly members: Members,
    limits: ReplicaLimits,
    private readonly outbox: Outbox,
    /** What the last leader gave up for this campaign. */
    private readonly released?: Released,
  ) {
    this.patience = new Patience(limits);
    this.send();
  }

  /** Takes a page of a promise of this ballot. @returns what was found, once a majority has promised */
  promise(from: ReplicaId, page: PromisePage): Found | undefined {
    if (this.complete.has(from)) return undefined;
    const votes = this.assemble(from, page);
    if (votes === undefined) return undefined;
    this.complete.set(from, { chosenThrough: page.chosenThrough, votes });
    this.promises = this.members.with(this.promises, from);
    return this.members.isQuorum(this.promises) ? this.found() : undefined;
  }

  tick(): Urge {
    const urge = this.patience.tick();
    if (urge === 'repeat') this.send();
    return urge;
  }

  private send(): void {
    for (const to of this.members.ids) {
      if (this.members.answered(this.promises, to)) continue;
      this.outbox.send(to, {
        kind: 'prepare',
        ballot: this.ballot,
        firstInstance: this.firstInstance,
        ...(this.released === undefined ? {} : { released: this.released }),
      });
    }
  }

  /** @returns all votes of the promise once no page is missing */
  private assemble(from: ReplicaId, { chosenThrough, page, last, votes }: PromisePage): readonly Vote[] | undefined {
    let promise = this.partial.get(from);
    if (promise?.chosenThrough !== chosenThrough) {
      this.partial.set(from, (promise = { chosenThrough, pages: [], pageCount: undefined }));
    }
    if (promise.pages[page] === undefined) this.patience.progressed();
    promise.pages[page] = votes;
    if (last) promise.pageCount = page + 1;
    if (promise.pageCount === undefined) return undefined;
    for (let index = 0; index < promise.pageCount; index++) if (promise.pages[index] === undefined) return undefined;
    return promise.pages.flatMap((each) => each ?? []);
  }

  private found(): Found {
    let floor = 0;
    let floorHolder = this.members.self;
    for (const [from, { chosenThrough }] of this.complete) {
      if (chosenThrough > floor) [floor, floorHolder] = [chosenThrough, from];
    }
    const highest = new Map<Instance, Vote>();
    let lastFound = floor;
    for (const { votes } of this.complete.values()) {
      for (const vote of votes) {
        if (vote.instance <= floor) continue; // Chosen: what is missing of it is fetched.
        lastFound = Math.max(lastFound, vote.instance);
        const other = highest.get(vote.instance);
        // P2c: the vote of the highest ballot, since only its value can have been chosen.
        if (other === undefined || compareBallots(vote.ballot, other.ballot) > 0) highest.set(vote.instance, vote);
      }
    }
    const carried = new Map([...highest].map(([instance, { value }]) => [instance, value]));
    return { floor, floorHolder, carried, lastFound };
  }
}
