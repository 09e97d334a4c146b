import { invariant } from '@synod/invariant';
import type { Instance, ReplicaId } from './ballot';
import { changeIn, foundingOf, mayFollow, voters, type Configuration } from './configuration';
import { Members } from './members';
import type { Value } from './messages';
import type { ReplicaOptions } from './options';

/**
 * The configuration that this replica goes by: that of the first instance it has not delivered.
 * Source: Lamport, "Paxos Made Simple", §3: the configuration is part of the state that the log's commands change; here with α = 1
 * around a change. Invariant `configuration-follows-the-log`: the configuration of instance i is fixed by the log before i.
 */
export class Membership {
  private members: Members;
  private configuration_: Configuration;
  /**
   * A replica that joins is told a configuration from further up the log than it has read: enough to know whom to ask, not to know
   * who may choose what it has yet to learn. Until the log has told it the same it does not campaign.
   */
  private ahead: boolean;

  constructor(
    private readonly self: ReplicaId,
    options: Pick<ReplicaOptions, 'members' | 'configuration' | 'ahead'>,
  ) {
    this.configuration_ = options.configuration ?? foundingOf(options.members.map((replicaId) => ({ replicaId })));
    this.ahead = options.ahead ?? false;
    this.members = this.membersOf(this.configuration_);
    invariant(this.members.has(self), 'replica-is-a-member', () => `${self} of ${this.members.ids.join()}`);
  }

  get current(): Members {
    return this.members;
  }

  get configuration(): Configuration {
    return this.configuration_;
  }

  get version(): number {
    return this.configuration_.version;
  }

  /** Whether this replica votes, and has read in the log that it does. */
  get mayLead(): boolean {
    return !this.ahead && this.members.votes(this.self);
  }

  /**
   * Whether to listen to a replica. Not to one that was removed: its late words change nothing. But to one not heard of, since this
   * replica may be behind: safety does not rest on who speaks, and only the new ones may be left to tell it.
   */
  admits(id: ReplicaId): boolean {
    return this.members.has(id) || id > this.configuration_.highestId;
  }

  /** An instance is delivered: what it changed holds from the next one on. */
  delivered(instance: Instance, value: Value): void {
    const next = changeIn(value);
    if (next === undefined) return;
    if (next.version <= this.version) {
      if (next.version === this.version) this.ahead = false;
      return;
    }
    invariant(
      next.version === this.version + 1,
      'configuration-follows-the-log',
      () => `${next.version} after ${this.version}`,
    );
    invariant(
      mayFollow(next, this.configuration_),
      'one-voter-at-a-time',
      () => `instance ${instance}: ${JSON.stringify(this.configuration_)} to ${JSON.stringify(next)}`,
    );
    this.configuration_ = next;
    this.ahead = false;
    this.members = this.membersOf(next);
  }

  /**
   * Instances came as a state instead of one by one: what they changed together holds from the next one on. That is no older than what
   * this replica has read in its log, but may be older than what it was told when it joined.
   */
  installed(configuration: Configuration): void {
    invariant(
      this.ahead || configuration.version >= this.version,
      'configuration-follows-the-log',
      () => `a snapshot of ${configuration.version} over ${this.version}`,
    );
    if (configuration.version < this.version) return;
    this.configuration_ = configuration;
    this.ahead = false;
    this.members = this.membersOf(configuration);
  }

  private membersOf(configuration: Configuration): Members {
    const all = configuration.members.map(({ replicaId }) => replicaId);
    const voting = voters(configuration);
    return new Members(
      this.self,
      voting,
      all.filter((id) => !voting.includes(id)),
    );
  }
}
