import type { Instance, ReplicaId } from '../ballot';
import type { Effects, Input } from '../effects';
import type { Envelope } from '../messages';
import type { ReplicaOptions } from '../options';
import type { ReplicaRecord } from '../records';
import type { Replica } from '../replica';
import type { SimRandom } from './random';

/** What one step left to the disk: its records, and the messages that may leave once they are durable. */
interface Unsynced {
  /** Once the records are durable, everything before them is cut off the log. */
  readonly cuts?: true;
  readonly records: readonly ReplicaRecord[];
  readonly send: readonly Envelope[];
}

/** What a store holds between two transactions. */
interface Boundary {
  readonly applied: Instance;
  /** What it got by snapshot. */
  readonly snapshotThrough: Instance;
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
  log: ReplicaRecord[] = [];
  /** The store: its states since the last flush, that of the flush first. A crash may leave any of them. */
  private boundaries: Boundary[] = [{ applied: 0, snapshotThrough: 0 }];
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

  /** How far the store has applied. */
  get applied(): Instance {
    return this.store.applied;
  }

  start(): void {
    this.replica = this.makeReplica(this.options);
    for (const record of this.log) this.replica.restore(record);
    this.replica.restored(this.applied, this.store.snapshotThrough);
  }

  step(input: Input): void {
    if (this.replica === undefined) return;
    const effects = this.replica.step(input);
    for (const envelope of effects.sendNow) this.world.send(this.id, envelope);
    if (effects.persist.length + effects.send.length > 0) {
      this.unsynced.push({ records: effects.persist, send: effects.send });
    }
    for (const { instance } of effects.chosen) this.boundaries.push({ ...this.store, applied: instance });
    this.world.effects(this, effects);
  }

  /** The disk finishes the oldest `steps` steps. */
  sync(steps: number): void {
    for (const unsynced of this.unsynced.splice(0, steps)) {
      this.write(unsynced);
      for (const envelope of unsynced.send) this.world.send(this.id, envelope);
    }
  }

  flush(): void {
    this.boundaries = [this.store];
    this.step({ kind: 'truncate', flushedThrough: this.applied });
  }

  /** Says again what the log must hold, and cuts everything before off once that is durable. */
  cutLog(): void {
    const through = this.boundaries[0]?.applied ?? 0;
    // A snapshot that is not flushed yet may be undone by a crash: the votes below it are in the old log alone.
    if (this.replica === undefined || through === 0 || this.replica.truncatedThrough > through) return;
    const records = [...this.replica.hardState(through), ...this.replica.recordsAbove(through)];
    this.unsynced.push({ records, send: [], cuts: true });
  }

  /** The store takes over the state of a peer. */
  install(through: Instance): void {
    if (this.replica === undefined || through <= this.applied) return;
    this.boundaries.push({ applied: through, snapshotThrough: through });
    this.step({ kind: 'snapshot-installed', through });
  }

  /** Power fails: some of what was being written is on disk, though nothing that waited for it has left. */
  crash(random: SimRandom): void {
    this.replica = undefined;
    for (const unsynced of this.unsynced.slice(0, random.below(this.unsynced.length + 1))) this.write(unsynced);
    this.unsynced = [];
    // The store's pages may have reached its disk without being asked.
    this.boundaries = [random.pick(this.boundaries)];
  }

  private get store(): Boundary {
    return this.boundaries.at(-1) as Boundary;
  }

  private write({ records, cuts }: Unsynced): void {
    if (cuts === true) this.log = [];
    for (const record of records) {
      this.log.push(record);
      this.world.durable(this.id, record);
    }
  }
}
