import type { Instance, ReplicaId } from '../ballot';
import { changeIn, type Configuration } from '../configuration';
import type { Effects, Input } from '../effects';
import type { Envelope } from '../messages';
import type { ReplicaOptions } from '../options';
import type { ReplicaRecord } from '../records';
import type { Replica } from '../replica';
import type { SimRandom } from './random';

/** What one step left to the disk: its records, and the messages that may leave once they are durable. */
interface Unsynced {
  readonly records: readonly ReplicaRecord[];
  readonly send: readonly Envelope[];
}

/** What a node does to the world around it. */
export interface NodeWorld {
  send(from: ReplicaId, envelope: Envelope): void;
  durable(node: ReplicaId, record: ReplicaRecord): void;
  effects(node: SimNode, effects: Effects): void;
}

/** A replica with a disk that forgets what was not synced, and a store that falls back to its last flush. */
export class SimNode {
  replica: Replica | undefined;
  /** Changes among what it has delivered: the store keeps the last one beside the applied index. */
  private readonly changes: { readonly instance: Instance; readonly configuration: Configuration }[] = [];
  /** What a replica that joins is told of its group; of founders nothing. */
  private joined: Configuration | undefined;
  /** Its replica was removed from the group and will not come back. */
  destroyed = false;
  readonly log: ReplicaRecord[] = [];
  /** The store: how far it has applied, and how far a crash at this moment would certainly leave it. */
  applied: Instance = 0;
  private flushed: Instance = 0;
  private unsynced: Unsynced[] = [];

  constructor(
    readonly options: ReplicaOptions,
    private readonly makeReplica: (options: ReplicaOptions) => Replica,
    private readonly world: NodeWorld,
  ) {
    if (options.members.includes(options.self)) this.start();
  }

  get id(): ReplicaId {
    return this.options.self;
  }

  get writing(): boolean {
    return this.unsynced.length > 0;
  }

  /** Whether it runs, or could: it is a founder, or was told of its group. */
  get exists(): boolean {
    return !this.destroyed && (this.options.members.includes(this.id) || this.joined !== undefined);
  }

  join(configuration: Configuration): void {
    this.joined = configuration;
    this.start();
  }

  destroy(): void {
    this.destroyed = true;
    this.replica = undefined;
    this.unsynced = [];
  }

  start(): void {
    const read = this.changes.filter(({ instance }) => instance <= this.applied).at(-1)?.configuration;
    // The store shows that the replica was removed: the host destroys it instead of starting it.
    if (read?.members.every(({ replicaId }) => replicaId !== this.id) === true) {
      const joinedLater = this.joined !== undefined && read.version < this.joined.version;
      if (!joinedLater) return this.destroy();
    }
    const ahead = this.joined !== undefined && (read?.version ?? -1) < this.joined.version;
    this.replica = this.makeReplica({ ...this.options, configuration: ahead ? this.joined : read, ahead });
    for (const record of this.log) this.replica.restore(record);
    this.replica.restored(this.applied);
  }

  step(input: Input): void {
    if (this.replica === undefined) return;
    const effects = this.replica.step(input);
    for (const envelope of effects.sendNow) this.world.send(this.id, envelope);
    if (effects.persist.length + effects.send.length > 0) {
      this.unsynced.push({ records: effects.persist, send: effects.send });
    }
    for (const { instance, value } of effects.chosen) {
      this.applied = instance;
      const configuration = changeIn(value);
      if (configuration !== undefined) this.changes.push({ instance, configuration });
    }
    this.world.effects(this, effects);
  }

  /** The disk finishes the oldest `steps` steps. */
  sync(steps: number): void {
    for (const { records, send } of this.unsynced.splice(0, steps)) {
      for (const record of records) this.write(record);
      for (const envelope of send) this.world.send(this.id, envelope);
    }
  }

  flush(): void {
    this.flushed = this.applied;
  }

  /** Power fails: some of what was being written is on disk, though nothing that waited for it has left. */
  crash(random: SimRandom): void {
    this.replica = undefined;
    for (const { records } of this.unsynced.slice(0, random.below(this.unsynced.length + 1))) {
      for (const record of records) this.write(record);
    }
    this.unsynced = [];
    // The store's pages may have reached its disk without being asked.
    this.applied = this.flushed = this.flushed + random.below(this.applied - this.flushed + 1);
  }

  private write(record: ReplicaRecord): void {
    this.log.push(record);
    this.world.durable(this.id, record);
  }
}
