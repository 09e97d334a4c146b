import type { Log, Probes, Store, Timers, Transport } from '@synod/runtime';
import type { GroupId } from './api';
import { clearPrefix } from './clear-range';
import { otherSlot, writeGroupState } from './group-states';
import type { HostedGroup } from './hosted-group';
import { SnapshotFetch } from './snapshot-fetch';
import type { SnapshotDescriptor } from './snapshot-messages';
import { writeConfiguration } from './stored-configurations';

/** Fetched at once by a node; a group beyond asks again in a while. */
const FETCHES_MAX = 2;

export interface SnapshotInstallEvents {
  /** Runs what waits through the replicas, and applies it. */
  turn(): void;
  installed(group: HostedGroup<unknown>): void;
  /** The store cannot be written. */
  fault(error: unknown): void;
}

/**
 * Brings groups of this node up to date by a peer's state. The state goes into the group's idle slot, step by step, while the group goes
 * on with what it has; one transaction then makes that slot the group's own, with the index of the state and the configuration after it (invariant
 * `snapshot-is-of-its-index`). Before it a crash leaves the old state, after it the new: nothing half done is ever taken for either,
 * and what the old one holds is not given up before the new one is there.
 */
export class SnapshotInstalls {
  /** Groups that are at it; without a fetch while their idle slot is being emptied. */
  private readonly under = new Map<GroupId, SnapshotFetch | undefined>();
  private readonly clearing = new Map<GroupId, Promise<void>>();
  private stopped = false;

  constructor(
    private readonly clusterId: string,
    private readonly ports: {
      readonly transport: Transport;
      readonly timers: Timers;
      readonly log: Log;
      readonly probes: Probes;
    },
    private readonly store: Store,
    private readonly events: SnapshotInstallEvents,
  ) {}

  /** Begins, unless the group is at it already. */
  begin(group: HostedGroup<unknown>, address: string): void {
    const { group: id } = group.founding;
    if (this.under.has(id) || this.under.size >= FETCHES_MAX) return;
    this.under.set(id, undefined);
    this.ports.log.info('fetching a snapshot', { group: id, from: address });
    void this.clearIdleSlot(group).then(() => {
      if (!this.stopped) this.under.set(id, this.fetch(group, address));
    });
  }

  /** Removes what an ended or overtaken snapshot, or the state before one, has left. Also at every start. */
  clearIdleSlot(group: HostedGroup<unknown>): Promise<void> {
    const { group: id } = group.founding;
    const goesOn = (): boolean => !this.stopped;
    const cleared = (this.clearing.get(id) ?? Promise.resolve())
      .then(() => clearPrefix(this.store, this.ports.timers, group.idlePrefix, goesOn))
      .catch((error: unknown) => this.events.fault(error));
    this.clearing.set(id, cleared);
    return cleared;
  }

  stop(): void {
    this.stopped = true;
    for (const fetch of this.under.values()) fetch?.stop();
  }

  private fetch(group: HostedGroup<unknown>, address: string): SnapshotFetch {
    const { group: id } = group.founding;
    return new SnapshotFetch({
      ports: this.ports,
      store: this.store,
      address,
      request: { clusterId: this.clusterId, group: id, replicaId: group.self.replicaId },
      prefix: group.idlePrefix,
      wants: ({ appliedThrough }) => appliedThrough > group.state.appliedThrough,
      complete: (snapshot) => this.install(group, snapshot),
      failed: (reason) => {
        this.ports.log.warn('a snapshot could not be fetched', { group: id, from: address, reason });
        this.under.delete(id);
      },
      fault: (error) => this.events.fault(error),
    });
  }

  private install(group: HostedGroup<unknown>, snapshot: SnapshotDescriptor): void {
    const { appliedThrough, term, configuration } = snapshot;
    const { group: id } = group.founding;
    this.under.delete(id);
    this.events.turn(); // What waits is of the state before.
    if (this.stopped) return;
    if (appliedThrough <= group.state.appliedThrough) return void this.clearIdleSlot(group);
    const state = { appliedThrough, snapshotThrough: appliedThrough, slot: otherSlot(group.state.slot), term };
    this.store.transaction((transaction) => {
      writeGroupState(transaction, id, state);
      writeConfiguration(transaction, id, configuration);
    });
    group.install(state, configuration, this.store);
    this.events.turn();
    this.ports.log.info('installed a snapshot', { group: id, appliedThrough });
    this.ports.probes.sometimes('snapshot-installed');
    this.events.installed(group);
    void this.clearIdleSlot(group);
  }
}
