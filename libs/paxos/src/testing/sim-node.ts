import type { Instance, ReplicaId } from '../ballot';
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
    this.start();
  }

  get id(): ReplicaId {
    return this.options.self;
  }

  get writing(): boolean {
    return this.unsynced.length > 0;
  }

  start(): void {
    this.replica = this.makeReplica(this.options);
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
    for (const { instance } of effects.chosen) this.applied = instance;
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
