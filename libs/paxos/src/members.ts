import { invariant } from '@synod/invariant';
import type { ReplicaId } from './ballot';

/** Which members have answered, one bit per member in the order of `Members.ids`. Counts each of them once, however often it answers. */
export type Answers = number;

export const NO_ANSWERS: Answers = 0;

/** Bits of an `Answers`: far more members than any group has use for. */
const MEMBERS_MAX = 31;

/**
 * The members of a group over a stretch of its log: who votes, and how many of them make a quorum.
 * Lamport, "Paxos Made Simple", §2.2: any two majorities share an acceptor, which is all that safety asks of a quorum.
 *
 * Whoever counts answers for an instance counts with the `Members` of that instance: see `Membership`.
 */
export class Members {
  /** Everyone but this replica, learners included. */
  readonly others: readonly ReplicaId[];
  private readonly majority: number;
  private readonly bits = new Map<ReplicaId, Answers>();

  constructor(
    readonly self: ReplicaId,
    /** Who votes. */
    readonly ids: readonly ReplicaId[],
    /** Who is told everything and counts in no quorum: invariant `learners-never-count`, they have no bit in an `Answers`. */
    private readonly learners: readonly ReplicaId[] = [],
  ) {
    ids.forEach((id, index) => this.bits.set(id, 1 << index));
    invariant(this.bits.size === ids.length && ids.length <= MEMBERS_MAX, 'members-are-distinct', () => ids.join());
    invariant(!learners.some((id) => this.bits.has(id)), 'learners-never-count', () => learners.join());
    this.others = [...ids, ...learners].filter((id) => id !== self);
    this.majority = Math.floor(ids.length / 2) + 1;
  }

  has(id: ReplicaId): boolean {
    return this.bits.has(id) || this.learners.includes(id);
  }

  votes(id: ReplicaId): boolean {
    return this.bits.has(id);
  }

  /** @returns `answers` with that of `id` counted */
  with(answers: Answers, id: ReplicaId): Answers {
    return answers | (this.bits.get(id) ?? NO_ANSWERS);
  }

  answered(answers: Answers, id: ReplicaId): boolean {
    return (answers & (this.bits.get(id) ?? NO_ANSWERS)) !== 0;
  }

  isQuorum(answers: Answers): boolean {
    let count = 0;
    for (let rest = answers; rest !== 0; rest &= rest - 1) count++;
    return count >= this.majority;
  }

  /** The member after `id`, this replica skipped: whom to ask next when `id` does not answer. */
  otherAfter(id: ReplicaId): ReplicaId | undefined {
    return this.others[(this.others.indexOf(id) + 1) % this.others.length];
  }
}
