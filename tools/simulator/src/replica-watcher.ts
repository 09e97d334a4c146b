import { createHash } from 'node:crypto';
import { invariant } from '@synod/invariant';
import {
  compareBallots,
  NO_BALLOT,
  stampOf,
  type Ballot,
  type Delivery,
  type Envelope,
  type ReplicaRecord,
} from '@synod/paxos';
import type { Member, Rebuilt, ReplicationObserver } from '@synod/replication';

/** What a replica has vouched for: it must find all of it again, after any crash. */
interface Vouched {
  promised: Ballot;
  readonly votes: Map<number, Ballot>;
}

/**
 * Sees all replicas of all nodes at once, as no node can, and holds them against each other and against their own words.
 *
 * - `one-command-per-instance`: what one replica applies at an instance, all apply there, across restarts.
 * - `deposed-values-change-nothing`: behind a value of a higher ballot, one of a lower is applied without its commands.
 * - `acked-is-durable`: a promise or vote that left a node is found again after each of its restarts; votes from where the log begins.
 * - `truncated-is-applied`: what the log gave up, the store holds after any crash.
 */
export class ReplicaWatcher implements ReplicationObserver {
  private readonly canonical = new Map<string, string>();
  private readonly words = new Map<string, Vouched>();
  private readonly leaders = new Map<string, string>();
  /** By group: the highest ballot that a value applied anywhere names. */
  private readonly terms = new Map<string, Ballot>();
  leaderChanges = 0;

  vouched(group: string, from: Member, { message }: Envelope): void {
    const words = this.wordsOf(group, from);
    switch (message.kind) {
      case 'promise':
        words.promised = higher(words.promised, message.ballot);
        return;
      case 'prepare':
        words.promised = higher(words.promised, message.ballot);
        this.noteLeader(group, message.ballot);
        return;
      case 'accepted':
        words.promised = higher(words.promised, message.ballot);
        words.votes.set(message.instance, higher(words.votes.get(message.instance) ?? NO_BALLOT, message.ballot));
        return;
      default:
    }
  }

  applied(group: string, by: Member, delivery: Delivery): void {
    const { instance, value, commands } = delivery;
    const hash = createHash('sha1').update(`${commands.length} take effect `);
    for (const command of value) hash.update(`${command.length}:`).update(command);
    const digest = hash.digest('base64');
    const place = `${group}/${instance}`;
    const known = this.canonical.get(place);
    if (known === undefined) {
      this.canonical.set(place, digest);
      this.appliedFirst(group, delivery);
    } else invariant(known === digest, 'one-command-per-instance', () => `${place} differs on ${by.nodeId}`);
  }

  /** The first to apply an instance has applied, or taken over, all before it: so the instances of a group come in order here. */
  private appliedFirst(group: string, { instance, value, commands }: Delivery): void {
    const stamp = stampOf(value);
    if (stamp === undefined) return;
    const term = this.terms.get(group) ?? NO_BALLOT;
    const deposed = compareBallots(stamp, term) < 0;
    invariant(!deposed || commands.length === 0, 'deposed-values-change-nothing', () => `${group}/${instance}`);
    if (!deposed) this.terms.set(group, stamp);
  }

  recovered(group: string, by: Member, records: readonly ReplicaRecord[], rebuilt: Rebuilt): void {
    const { promised, appliedThrough } = rebuilt;
    const beginsBehind = Math.max(rebuilt.truncatedThrough, rebuilt.snapshotThrough);
    const words = this.wordsOf(group, by);
    const votes = new Map<number, Ballot>();
    for (const record of records) {
      if (record.kind === 'voted' || record.kind === 'kept')
        votes.set(record.instance, higher(votes.get(record.instance) ?? NO_BALLOT, record.ballot));
    }
    const where = (): string => `${group} on ${by.nodeId}`;
    invariant(
      compareBallots(promised, words.promised) >= 0,
      'acked-is-durable',
      () => `a promise of ${where()} is gone`,
    );
    invariant(
      rebuilt.truncatedThrough <= appliedThrough,
      'truncated-is-applied',
      () => `${where()} begins behind ${rebuilt.truncatedThrough}, applied ${appliedThrough}`,
    );
    for (const [instance, ballot] of words.votes) {
      if (instance <= beginsBehind) continue;
      const found = votes.get(instance) ?? NO_BALLOT;
      invariant(compareBallots(found, ballot) >= 0, 'acked-is-durable', () => `vote ${instance} of ${where()} is gone`);
    }
  }

  installed(group: string, by: Member, appliedThrough: number): void {
    const known = this.canonical.has(`${group}/${appliedThrough}`);
    invariant(known, 'snapshot-is-of-its-index', () => `${group} on ${by.nodeId}: nobody applied ${appliedThrough}`);
  }

  private wordsOf(group: string, { replicaId }: Member): Vouched {
    const key = `${group}/${replicaId}`;
    let words = this.words.get(key);
    if (words === undefined) this.words.set(key, (words = { promised: NO_BALLOT, votes: new Map() }));
    return words;
  }

  private noteLeader(group: string, ballot: Ballot): void {
    const name = `${ballot.round}.${ballot.replica}`;
    if (this.leaders.get(group) === name) return;
    if (this.leaders.has(group)) this.leaderChanges++;
    this.leaders.set(group, name);
  }
}

function higher(a: Ballot, b: Ballot): Ballot {
  return compareBallots(a, b) >= 0 ? a : b;
}
