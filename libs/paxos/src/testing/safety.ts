import { invariant } from '@synod/invariant';
import { compareBallots, formatBallot, NO_BALLOT, type Ballot, type Instance, type ReplicaId } from '../ballot';
import { changeIn, foundingOf, voters, type Configuration } from '../configuration';
import type { Delivery, Effects } from '../effects';
import { stampOf } from '../fence';
import type { Envelope, Value } from '../messages';
import type { ReplicaRecord } from '../records';
import { survivingEntries } from '../survivor';
import { sameValue } from '../value';
import type { LeaseSafety } from './lease-safety';
import type { SimNode } from './sim-node';

interface Begun {
  readonly node: ReplicaId;
  /** Of a proposal. */
  readonly value: Value | undefined;
  /** Of a read: the highest instance acknowledged to anyone when it began. */
  readonly ackedThrough: Instance;
}

/** Sees the whole group from above and checks its promises after every step. Shares nothing with the code it judges but words. */
export class Safety {
  acked = 0;
  readsServed = 0;
  /** By a lease, without a round. */
  readsLeased = 0;
  transferred = 0;
  readonly reached = new Map<string, number>();
  private ackedThrough: Instance = 0;
  private readonly begun = new Map<number, Begun>();
  /** Values of proposals that were refused for certain. */
  private readonly refused: Value[] = [];
  /** What the first replica to deliver an instance delivered. */
  private readonly delivered = new Map<Instance, Delivery>();
  private readonly deliveredThrough = new Map<ReplicaId, Instance>();
  /** In any life of a replica; of what came as a state only that it did. */
  private readonly everDelivered = new Map<ReplicaId, Instance>();
  private readonly everInstalled = new Map<ReplicaId, Instance>();
  /** Durable votes: instance → ballot → the value and who voted. */
  private readonly votes = new Map<Instance, Map<string, { value: Value; by: Set<ReplicaId> }>>();
  private readonly chosen = new Map<Instance, Value>();
  private readonly leaders = new Map<number, ReplicaId>();
  /** Where each leader began to serve, in the order in which that was seen. */
  private readonly served: { readonly ballot: Ballot; readonly above: Instance }[] = [];
  /** Highest promise that each replica told others of. */
  private readonly vouched = new Map<ReplicaId, Ballot>();

  /** Each configuration, and the first instance that it holds for. */
  private readonly configurations: { readonly first: Instance; readonly configuration: Configuration }[];

  constructor(
    founders: readonly ReplicaId[],
    private readonly leases?: LeaseSafety,
  ) {
    this.configurations = [{ first: 1, configuration: foundingOf(founders.map((replicaId) => ({ replicaId }))) }];
  }

  /** As far as anyone has delivered the log. */
  get configuration(): Configuration {
    return (this.configurations.at(-1) as (typeof this.configurations)[number]).configuration;
  }

  begin(token: number, node: ReplicaId, value: Value | undefined): void {
    this.begun.set(token, { node, value, ackedThrough: this.ackedThrough });
  }

  /** A vote reached a disk. */
  durable(node: ReplicaId, record: ReplicaRecord): void {
    if (record.kind !== 'voted') return;
    const { instance, ballot, value } = record;
    let byBallot = this.votes.get(instance);
    if (byBallot === undefined) this.votes.set(instance, (byBallot = new Map<string, never>()));
    const name = formatBallot(ballot);
    let vote = byBallot.get(name);
    if (vote === undefined) byBallot.set(name, (vote = { value, by: new Set() }));
    invariant(sameValue(vote.value, value), 'one-value-per-ballot', () => `${name} at ${instance}`);
    vote.by.add(node);
    if (!this.isQuorum(instance, vote.by)) return;
    const chosen = this.chosen.get(instance) ?? value;
    invariant(sameValue(chosen, value), 'one-command-per-instance', () => `two values won a quorum at ${instance}`);
    this.chosen.set(instance, chosen);
  }

  /** A message left that vouches for the sender's disk. */
  left(node: ReplicaId, { to, message }: Envelope): void {
    if (to === node) return;
    this.leases?.left(node, { to, message });
    if (message.kind === 'promise' || message.kind === 'accepted' || message.kind === 'prepare')
      this.vouch(node, message.ballot);
  }

  restarted(node: SimNode): void {
    const vouched = this.vouched.get(node.id) ?? NO_BALLOT;
    const promised = node.replica?.promised ?? NO_BALLOT;
    invariant(
      compareBallots(promised, vouched) >= 0,
      'promise-never-decreases',
      () => `replica ${node.id} forgot a promise`,
    );
    this.deliveredThrough.set(node.id, node.applied);
    this.survives(node);
  }

  /** Whoever waited on this replica never hears. */
  crashed(node: SimNode): void {
    for (const [token, { node: asked }] of this.begun) if (asked === node.id) this.begun.delete(token);
  }

  /** A store took over the state after `through`. */
  installed(node: SimNode, through: Instance): void {
    for (let instance = 1; instance <= through; instance++) {
      invariant(this.delivered.has(instance), 'snapshot-is-of-chosen', () => `${instance} of ${through}`);
    }
    this.deliveredThrough.set(node.id, through);
    this.everInstalled.set(node.id, through);
  }

  stepped(node: SimNode, effects: Effects, nowUs: number): void {
    this.leases?.stepped(node.id, effects, nowUs);
    for (const name of effects.reached) this.reached.set(name, (this.reached.get(name) ?? 0) + 1);
    for (const delivery of effects.chosen) this.deliver(node.id, delivery);
    for (const settled of effects.settled) this.settle(node, settled);
    if (node.replica?.leads === true) {
      const { round } = node.replica.promised;
      const known = this.leaders.get(round * 64 + node.replica.promised.replica);
      const leader = known ?? node.id;
      invariant(leader === node.id && node.replica.promised.replica === node.id, 'one-leader-per-ballot');
      if (known === undefined) this.served.push({ ballot: node.replica.promised, above: node.replica.chosenThrough });
      this.leaders.set(round * 64 + node.id, leader);
    }
  }

  /** At the end: nothing refused for certain had an effect. */
  finish(): void {
    const values = new Set([...this.delivered.values()].map((delivery) => effectOf(delivery).join()));
    for (const value of this.refused) invariant(!values.has(value.join()), 'refused-has-no-effect');
  }

  /** Counted with the configuration that the log before the instance fixes; learners count for nothing. */
  private isQuorum(instance: Instance, by: ReadonlySet<ReplicaId>): boolean {
    const known =
      this.configurations.filter(({ first }) => first <= instance).at(-1)?.configuration ?? this.configuration;
    const voting = voters(known);
    return voting.filter((id) => by.has(id)).length > voting.length / 2;
  }

  private change(instance: Instance, value: Value): void {
    const next = changeIn(value);
    if (next === undefined) return;
    const { version, members, highestId } = this.configuration;
    const before = members.map(({ replicaId }) => replicaId);
    const fresh = next.members.filter(({ replicaId }) => !before.includes(replicaId));
    invariant(next.version === version + 1, 'one-change-at-a-time', () => `instance ${instance}`);
    invariant(
      fresh.every(({ replicaId }) => replicaId > highestId),
      'replica-id-never-reused',
      () => `instance ${instance}`,
    );
    this.configurations.push({ first: instance + 1, configuration: next });
  }

  /** Were all others lost now, everything that this replica delivered could be told from its disk alone. */
  private survives(node: SimNode): void {
    // The crash undid the installation of a state: what that had is not in the log.
    if (node.applied < (this.everInstalled.get(node.id) ?? 0)) return;
    const entries = survivingEntries(node.log, { appliedThrough: node.applied, term: node.term });
    const through = this.everDelivered.get(node.id) ?? 0;
    const lost = (): string => `${through} at ${node.id}, of which ${node.applied} and ${entries.length} more are left`;
    invariant(node.applied + entries.length >= through, 'survivor-holds-what-it-applied', lost);
    for (const entry of entries.filter(({ instance }) => instance <= through)) {
      const { value, commands } = this.delivered.get(entry.instance) ?? entry;
      const isSame = sameValue(value, entry.value) && sameValue(commands, entry.commands);
      invariant(isSame, 'survivor-holds-what-it-applied', () => `another value of ${entry.instance} at ${node.id}`);
    }
  }

  private vouch(node: ReplicaId, ballot: Ballot): void {
    if (compareBallots(ballot, this.vouched.get(node) ?? NO_BALLOT) > 0) this.vouched.set(node, ballot);
  }

  private deliver(node: ReplicaId, delivery: Delivery): void {
    const { instance, value } = delivery;
    const expected = (this.deliveredThrough.get(node) ?? 0) + 1;
    invariant(instance === expected, 'chosen-once-in-order', () => `${instance} instead of ${expected} at ${node}`);
    this.deliveredThrough.set(node, instance);
    this.everDelivered.set(node, Math.max(instance, this.everDelivered.get(node) ?? 0));
    const first = this.delivered.get(instance) ?? delivery;
    invariant(
      sameValue(first.value, value) && sameValue(first.commands, delivery.commands),
      'one-command-per-instance',
      () => `replica ${node} delivered another value at ${instance}`,
    );
    if (!this.delivered.has(instance)) {
      this.change(instance, value);
      this.notUndercut(delivery);
    }
    this.delivered.set(instance, first);
    const chosen = this.chosen.get(instance);
    invariant(chosen !== undefined && sameValue(chosen, value), 'delivered-is-chosen', () => `${instance} at ${node}`);
  }

  /** No leader has served without knowing what takes effect now. */
  private notUndercut({ instance, value, commands }: Delivery): void {
    const stamp = stampOf(value);
    if (stamp === undefined || commands.length === 0) return;
    const undercut = this.served.find(({ ballot, above }) => above < instance && compareBallots(stamp, ballot) < 0);
    invariant(
      undercut === undefined,
      'deposed-values-change-nothing',
      () => `${formatBallot(stamp)} at ${instance}, while ${formatBallot(undercut?.ballot ?? NO_BALLOT)} served`,
    );
  }

  /** Nobody has led with a higher ballot while a leader counts on its lease. */
  private leased({ id, replica }: SimNode): void {
    this.readsLeased++;
    const ballot = replica?.leaderBallot ?? NO_BALLOT;
    this.leases?.leased(ballot, replica?.configuration ?? this.configuration);
    const later = this.served.find((other) => compareBallots(other.ballot, ballot) > 0);
    invariant(
      ballot.replica === id && later === undefined,
      'lease-outlives-no-leader',
      () => `replica ${id} in ${formatBallot(ballot)}, while ${formatBallot(later?.ballot ?? NO_BALLOT)} led`,
    );
  }

  private settle(node: SimNode, settled: Effects['settled'][number]): void {
    const begun = this.begun.get(settled.token);
    invariant(begun?.node === node.id, 'settled-once', () => `token ${settled.token}`);
    this.begun.delete(settled.token);
    switch (settled.outcome) {
      case 'chosen': {
        const delivery = this.delivered.get(settled.instance);
        invariant(
          delivery !== undefined && sameValue(effectOf(delivery), begun.value ?? []),
          'acked-is-chosen',
          () => `${settled.instance}`,
        );
        this.ackedThrough = Math.max(this.ackedThrough, settled.instance);
        this.acked++;
        return;
      }
      case 'read-ready':
        invariant(settled.instance >= begun.ackedThrough, 'reads-see-what-was-acked', () => {
          return `a read on ${node.id} at ${settled.instance} began after ${begun.ackedThrough} was acknowledged`;
        });
        invariant(node.applied >= settled.instance, 'read-after-applied');
        if (settled.leasedUntilUs !== undefined) this.leased(node);
        this.readsServed++;
        return;
      case 'not-leader':
      case 'overloaded':
      case 'conflict':
        if (begun.value !== undefined) this.refused.push(begun.value);
        return;
      case 'transferred':
        this.transferred++;
        return;
      case 'not-transferred':
        return;
      case 'unknown':
        invariant(begun.value !== undefined, 'reads-are-never-unknown');
    }
  }
}

/** What a delivery does: its commands, or the change that it is. */
function effectOf({ value, commands }: Delivery): Value {
  return changeIn(value) === undefined ? commands : value;
}
