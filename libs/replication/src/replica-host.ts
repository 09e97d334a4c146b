import { invariant } from '@synod/invariant';
import { changeIn, foundingOf, leaseTerms, Replica, type ChosenEntry, type Effects, type Envelope } from '@synod/paxos';
import type { Cancel } from '@synod/runtime';
import type {
  Founding,
  GroupConfiguration,
  GroupId,
  GroupMember,
  GroupOptions,
  GroupStatus,
  NodeId,
  ReconfigurableGroup,
} from './api';
import { readGroupState, slotPrefix, writeGroupState } from './group-states';
import { HostedGroup } from './hosted-group';
import { NodeLog, type LoggedRecord } from './node-log';
import {
  DEFAULT_LOG_LIMITS,
  DEFAULT_TIMES,
  type LogLimits,
  type ReplicaHostOptions,
  type ReplicationTimes,
} from './options';
import { Peers } from './peers';
import { RecoveredGroups } from './recovered-groups';
import { anotherDisk, anotherFounding, lostLog, lostState, wasRemoved } from './refusals';
import { SnapshotInstalls } from './snapshot-installs';
import { SnapshotServer } from './snapshot-server';
import { readConfiguration, writeConfiguration } from './stored-configurations';

/**
 * Hosts the replicas of many Paxos groups on one node: one write-ahead log, one store, one stream per peer, one turn for all of them.
 *
 * A turn gathers every input that arrived, steps the replicas, hands their records to the log in one append, applies what is chosen
 * in one store transaction, and answers callers. Messages that vouch for this disk leave when the append is durable, in order.
 */
export class ReplicaHost {
  private readonly groups_ = new Map<GroupId, HostedGroup<unknown>>();
  private readonly dirty = new Set<HostedGroup<unknown>>();
  private readonly recovered = new RecoveredGroups();
  private readonly peers: Peers;
  private readonly times: ReplicationTimes;
  private readonly logLimits: LogLimits;
  private readonly snapshotServer: SnapshotServer;
  private readonly snapshotInstalls: SnapshotInstalls;
  private log!: NodeLog;
  private turnScheduled = false;
  private stopped = false;
  private readonly periodic = new Map<string, Cancel>();

  private constructor(private readonly options: ReplicaHostOptions) {
    this.times = options.times ?? DEFAULT_TIMES;
    this.logLimits = options.logLimits ?? DEFAULT_LOG_LIMITS;
    const { identity, store, ports } = options;
    this.peers = new Peers(options, this.times.electionTimeoutUs, {
      groups: this.groups_,
      destroy: (group) => this.destroy(group),
    });
    const bulk = { ...ports, transport: ports.bulkTransport ?? ports.transport };
    this.snapshotServer = new SnapshotServer(identity.clusterId, bulk, store, (id) => {
      const group = this.groups_.get(id);
      if (group === undefined) return undefined;
      const { options, founding, configuration } = group;
      return { prefix: options.prefix, founders: founding.members, configuration };
    });
    this.snapshotInstalls = new SnapshotInstalls(identity.clusterId, bulk, store, {
      turn: () => this.turn(),
      installed: ({ founding, self, state }) => options.observer?.installed(founding.group, self, state.appliedThrough),
      fault: (error) => this.fail(error),
    });
  }

  /**
   * Opens the log, replaying what it holds.
   * @throws {SynodError} `corrupt` if the log is rotten or was written by a later release
   */
  static async open(options: ReplicaHostOptions): Promise<ReplicaHost> {
    const host = new ReplicaHost(options);
    host.log = await NodeLog.open({
      disk: options.ports.disk,
      folder: options.walFolder,
      segmentBytes: host.logLimits.segmentBytes,
      onRecord: (record) => host.recovered.note(record),
    });
    return host;
  }

  /** The groups whose founding this node's log holds: their replicas may have promised, so they are never founded again here. */
  heldGroups(): Founding[] {
    return [...this.recovered.foundings(), ...[...this.groups_.values()].map((group) => group.founding)];
  }

  /**
   * Starts a replica: from its records if the log holds the group, else by founding it here.
   * @throws {SynodError} `failed-precondition` if this node and disk are not a member, or the log knows another founding
   */
  addGroup<R>(options: GroupOptions<R>): ReconfigurableGroup<R> {
    const { group, members } = options.founding;
    const { nodeId, incarnation } = this.options.identity;
    const recovered = this.recovered.get(group);
    const { configuration, ahead } = this.configurationOf(options);
    const here = configuration.members.find((member) => member.nodeId === nodeId && member.incarnation === incarnation);
    const self = here && { replicaId: here.replicaId, nodeId, incarnation };
    if (self === undefined || recovered?.destroyed.has(self.replicaId) === true) {
      if (recovered !== undefined && (recovered.destroyed.size > 0 || configuration.version > 0))
        throw wasRemoved(group, nodeId);
      throw anotherDisk(group, nodeId, incarnation);
    }
    this.recovered.drop(group);
    if (recovered?.founding !== undefined && JSON.stringify(recovered.founding) !== JSON.stringify(members)) {
      throw anotherFounding(group);
    }
    const state = readGroupState(this.options.store, group);
    const { appliedThrough, snapshotThrough, term } = state;
    if (recovered?.founding === undefined && appliedThrough > 0)
      throw lostLog(`group ${group} was applied here through ${appliedThrough}`);
    const { tailInstances, tailBytes } = this.logLimits;
    const { leases, ports } = this.options;
    const replica = new Replica({
      self: self.replicaId,
      members: members.map((member) => member.replicaId),
      configuration,
      ahead,
      tailInstances,
      tailBytes,
      // Nobody who hears the leader's last words suspects it sooner, so that holding promises back delays no election.
      leases: leases && leaseTerms(this.times.electionTimeoutUs, leases.maxClockDriftPpm),
    });
    for (const record of recovered?.records ?? []) replica.restore(record);
    const { promised, truncatedThrough } = replica;
    const rebuilt = { promised, truncatedThrough, appliedThrough, snapshotThrough };
    this.options.observer?.recovered(group, self, recovered?.records ?? [], rebuilt);
    if (truncatedThrough > appliedThrough) throw lostState(group, rebuilt);
    replica.restored(appliedThrough, snapshotThrough, term);
    const wake = (): void => this.wake(hosted as HostedGroup<unknown>);
    const hosted = new HostedGroup<R>(options, self, replica, state, wake, ports.clock);
    hosted.destroyed = recovered?.destroyed ?? new Set();
    this.groups_.set(group, hosted as HostedGroup<unknown>);
    options.stateMachine.load(slotPrefix(options.prefix, state.slot), this.options.store);
    void this.snapshotInstalls.clearIdleSlot(hosted as HostedGroup<unknown>);
    // Before every other record of its group, and said again before it is cut off: no vote is ever found without it.
    if (recovered?.founding === undefined) void this.persist([{ group, record: { kind: 'founded', members } }]);
    this.peers.watch(hosted as HostedGroup<unknown>, members.length === 1 || options.preferred);
    return hosted;
  }

  /** Resolves once everything that was handed to the log so far is durable: the foundings of groups just added among it. */
  synced(): Promise<void> {
    return this.persist([]);
  }

  setPeer(nodeId: NodeId, address: string): void {
    this.peers.setAddress(nodeId, address);
  }

  /** A node that left all groups of this one: it is not dialled again. */
  forgetPeer(nodeId: NodeId): void {
    this.peers.forget(nodeId);
  }

  start(): void {
    this.every('heartbeat', this.times.heartbeatUs, () => this.peers.heartbeat());
    this.every('tick', this.times.tickUs, () => this.tick());
    this.every('flush', this.times.flushUs, () => void this.flush().catch((error: unknown) => this.fail(error)));
  }

  /** Whether another node speaks: a conversation may stay open for long after the machine at its other end has fallen silent. */
  hears(nodeId: NodeId): boolean {
    return this.peers.hears(nodeId);
  }

  statuses(): GroupStatus[] {
    return [...this.groups_.values()].map((group) => group.status());
  }

  /** Stops hearing, then speaking, then closes the log. The store stays open: it belongs to the caller. */
  async stop(): Promise<void> {
    if (this.stopped) return;
    this.stopped = true;
    for (const cancel of this.periodic.values()) cancel();
    for (const group of this.groups_.values()) group.stop();
    this.peers.stop();
    this.snapshotInstalls.stop();
    this.snapshotServer.stop();
    await this.log.close();
  }

  /** What the store has applied before a flush, it holds for good after it: so much may be forgotten, in memory and on the log's disk. */
  private async flush(): Promise<void> {
    const applied = [...this.groups_.values()].map((group) => ({ group, through: group.state.appliedThrough }));
    await this.options.store.flush();
    if (this.stopped) return;
    for (const { group, through } of applied) group.flushed(through);
    await this.log.truncate(this.groups_);
  }

  private wake(group: HostedGroup<unknown>): void {
    this.dirty.add(group);
    if (this.turnScheduled) return;
    this.turnScheduled = true;
    this.options.ports.timers.after(0, () => this.turn());
  }

  private turn(): void {
    this.turnScheduled = false;
    if (this.stopped) return;
    try {
      this.runTurn();
    } catch (error) {
      this.fail(error);
    }
  }

  private runTurn(): void {
    const stepped = [...this.dirty].map((group) => ({ group, effects: group.step() }));
    this.dirty.clear();

    const records: LoggedRecord[] = [];
    const vouching: { group: HostedGroup<unknown>; envelope: Envelope }[] = [];
    for (const { group, effects } of stepped) {
      for (const effect of effects) {
        for (const envelope of effect.sendNow) this.send(group, envelope);
        for (const record of effect.persist) records.push({ group: group.founding.group, record });
        for (const envelope of effect.send) vouching.push({ group, envelope });
        for (const from of effect.needsSnapshot) this.fetchSnapshot(group, from);
        for (const state of effect.reached) this.options.ports.probes.sometimes(state);
      }
    }
    // Awaited even with nothing new to write: a reply may reveal an earlier record still in flight.
    if (records.length > 0 || vouching.length > 0) {
      void this.persist(records).then(() => {
        for (const { group, envelope } of vouching) this.vouch(group, envelope);
      });
    }
    this.apply(stepped);
    for (const { group, effects } of stepped) group.settle(effects);
    for (const { group } of stepped) this.noteLeadership(group);
    for (const { group } of stepped) this.noteConfiguration(group);
  }

  /** One transaction for all groups, with each one's applied index in it: effects and index are never apart. */
  private apply(stepped: readonly { group: HostedGroup<unknown>; effects: readonly Effects[] }[]): void {
    const applying = stepped
      .map(({ group, effects }) => ({ group, entries: effects.flatMap((effect) => effect.chosen) }))
      .filter(({ entries }) => entries.length > 0);
    if (applying.length === 0) return;
    const { store, observer } = this.options;
    store.transaction((transaction) => {
      for (const { group, entries } of applying) {
        group.apply(transaction, entries);
        writeGroupState(transaction, group.founding.group, group.state);
        // The configuration that the replica goes by is that of what it has delivered, which is now applied.
        if (entries.some(({ value }) => changeIn(value) !== undefined)) {
          writeConfiguration(transaction, group.founding.group, latestIn(entries));
          const [held, { version }] = [group.configuration.version, latestIn(entries)];
          invariant(held >= version, 'configuration-follows-the-log', () => `${held}, stored ${version}`);
        }
      }
    });
    for (const { group, entries } of applying) {
      for (const delivery of entries) observer?.applied(group.founding.group, group.self, delivery);
      group.options.stateMachine.committed?.(store);
    }
  }

  private async persist(records: readonly LoggedRecord[]): Promise<void> {
    try {
      await this.log.append(records);
    } catch (error) {
      this.fail(error);
      // Never resolves: what waited for durability must not happen.
      await new Promise<never>(() => undefined);
    }
  }

  private fetchSnapshot(group: HostedGroup<unknown>, from: number): void {
    const nodeId = group.nodeOf(from);
    const address = nodeId === undefined ? undefined : this.peers.address(nodeId);
    if (address !== undefined) this.snapshotInstalls.begin(group, address);
  }

  private vouch(group: HostedGroup<unknown>, envelope: Envelope): void {
    if (this.stopped) return;
    this.options.observer?.vouched(group.founding.group, group.self, envelope);
    this.send(group, envelope);
  }

  private send(group: HostedGroup<unknown>, { to, message }: Envelope): void {
    const from = group.self.replicaId;
    if (to === from) group.push({ kind: 'receive', from, message });
    else this.peers.send(group, { to, message });
  }

  private noteLeadership(group: HostedGroup<unknown>): void {
    const leads = group.leadershipChange();
    if (leads === undefined) return;
    this.peers.ledGroupsChanged();
    const { group: id } = group.founding;
    this.options.ports.log.info(leads ? 'leads group' : 'no longer leads group', { group: id });
    group.options.leadershipChanged?.(leads);
  }

  private noteConfiguration(group: HostedGroup<unknown>): void {
    const configuration = group.configurationChange();
    if (configuration === undefined) return;
    this.peers.ledGroupsChanged(); // Members that came in between have not been told what is led here.
    // A restart must not fall back to a configuration of which a member is gone for good: its promise would be waited for.
    void this.flush().catch((error: unknown) => this.fail(error));
    this.options.ports.log.info('members of group changed', {
      group: group.founding.group,
      version: configuration.version,
      members: configuration.members
        .map(({ replicaId, nodeId, learner }) => `${replicaId}:${nodeId ?? '?'}${learner ? ' (learner)' : ''}`)
        .join(),
    });
    group.options.configurationChanged?.(configuration);
    if (group.memberOf(group.self.replicaId) === undefined) this.destroy(group);
  }

  /** The group has removed this replica. It leaves a tombstone, and what still comes for it is dropped. */
  private destroy(group: HostedGroup<unknown>): void {
    const { group: id } = group.founding;
    if (!this.groups_.delete(id)) return;
    const { replicaId } = group.self;
    this.options.ports.log.warn('this replica was removed from its group', { group: id, replica: replicaId });
    group.stop();
    void this.persist([{ group: id, record: { kind: 'destroyed', replicaId } }]).then(() => group.options.removed?.());
  }

  /** What the store, or else whoever let this replica in, says of a group's members; nothing for a group as it was founded. */
  private configurationOf({ founding, joined }: Pick<GroupOptions<unknown>, 'founding' | 'joined'>): {
    readonly configuration: GroupConfiguration;
    readonly ahead: boolean;
  } {
    const read = readConfiguration(this.options.store, founding.group);
    const ahead = joined !== undefined && (read?.version ?? -1) < joined.version;
    // The founding too is handed to the replica whole, so that it can say which node each of its members is.
    return { configuration: ahead ? joined : (read ?? foundingOf(founding.members)), ahead };
  }

  private tick(): void {
    for (const group of this.groups_.values()) if (group.replica.restless) group.push({ kind: 'tick' });
  }

  private every(name: string, periodUs: number, run: () => void): void {
    if (this.stopped) return;
    this.periodic.set(
      name,
      this.options.ports.timers.after(periodUs, () => {
        run();
        this.every(name, periodUs, run);
      }),
    );
  }

  /** The process is to end: invariant `failed-log-ends-the-process`. Until it does it says nothing more. */
  private fail(error: unknown): void {
    if (this.stopped) return;
    this.stopped = true;
    for (const cancel of this.periodic.values()) cancel();
    this.peers.stop();
    this.snapshotInstalls.stop();
    this.options.failed(error);
  }
}

/** @param entries hold a change */
function latestIn(entries: readonly ChosenEntry[]): GroupConfiguration {
  const changes = entries.map(({ value }) => changeIn<GroupMember>(value)).filter((change) => change !== undefined);
  return changes.at(-1) as GroupConfiguration;
}
