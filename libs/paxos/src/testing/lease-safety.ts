import { invariant } from '@synod/invariant';
import { compareBallots, formatBallot, type Ballot, type ReplicaId } from '../ballot';
import { voters, type Configuration } from '../configuration';
import type { Effects } from '../effects';
import type { Envelope, Message } from '../messages';
import type { LeaseTerms } from '../options';

/** What an acceptor has told a leader. */
interface Told {
  readonly ballot: Ballot;
  readonly round: number;
  /** True time before which it has to promise nothing to others, however wrong its clock is. */
  readonly untilUs: number;
}

/** Sees from above what acceptors grant and promise, in true time. */
export class LeaseSafety {
  private readonly grantedAtUs = new WeakMap<Message, number>();
  /** Who has promised each ballot, by its name. */
  private readonly promises = new Map<string, { readonly ballot: Ballot; readonly by: Set<ReplicaId> }>();
  private readonly told = new Map<ReplicaId, Told[]>();
  /** Through which round of a ballot its leader has given up what it was granted. */
  private readonly released = new Map<string, number>();

  constructor(
    private readonly terms: LeaseTerms,
    /** How much faster than true time the fastest clock runs. */
    private readonly fastest: number,
  ) {}

  /** A leader answers a read by its lease: a quorum of those it goes by has promised nothing higher. */
  leased(ballot: Ballot, configuration: Configuration): void {
    const voting = voters(configuration);
    for (const { ballot: later, by } of this.promises.values()) {
      if (compareBallots(later, ballot) <= 0) continue;
      invariant(
        voting.filter((id) => by.has(id)).length * 2 <= voting.length,
        'lease-outlives-no-leader',
        () => `${formatBallot(later)} may lead, and a read was answered by the lease of ${formatBallot(ballot)}`,
      );
    }
  }

  stepped(node: ReplicaId, { send, sendNow }: Effects, nowUs: number): void {
    for (const { message } of send) {
      if (message.kind === 'confirmed') this.grantedAtUs.set(message, nowUs);
      if (message.kind === 'promise' || message.kind === 'prepare') this.promised(node, message.ballot, nowUs);
      if (message.kind === 'promise') this.promisesOf(message.ballot).by.add(node);
    }
    for (const { message } of sendNow) {
      if (message.kind !== 'take-over' || message.round === undefined) continue;
      const name = formatBallot(message.ballot);
      this.released.set(name, Math.max(this.released.get(name) ?? 0, message.round));
    }
  }

  left(node: ReplicaId, { message }: Envelope): void {
    if (message.kind !== 'confirmed' || message.held !== true) return;
    const untilUs = (this.grantedAtUs.get(message) ?? 0) + this.terms.holdUs / this.fastest;
    const told = (this.told.get(node) ?? []).filter((each) => compareBallots(each.ballot, message.ballot) === 0);
    this.told.set(node, [...told, { ballot: message.ballot, round: message.round, untilUs }]);
  }

  private promisesOf(ballot: Ballot): { readonly ballot: Ballot; readonly by: Set<ReplicaId> } {
    const name = formatBallot(ballot);
    let promises = this.promises.get(name);
    if (promises === undefined) this.promises.set(name, (promises = { ballot, by: new Set() }));
    return promises;
  }

  private promised(node: ReplicaId, ballot: Ballot, nowUs: number): void {
    for (const { ballot: leader, round, untilUs } of this.told.get(node) ?? []) {
      if (nowUs >= untilUs || compareBallots(ballot, leader) <= 0 || ballot.replica === leader.replica) continue;
      invariant(
        (this.released.get(formatBallot(leader)) ?? -1) >= round,
        'no-promise-under-a-granted-lease',
        () =>
          `replica ${node} promised ${formatBallot(ballot)} at ${nowUs}, and ${formatBallot(leader)} that it would not`,
      );
    }
  }
}
