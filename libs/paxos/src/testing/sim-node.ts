import { NO_BALLOT, type Ballot, type Instance, type ReplicaId } from '../ballot';
import { changeIn, type Configuration } from '../configuration';
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
  readonly term: Ballot;
  /** After what it has applied; `undefined` for that of the founding. */
  readonly configuration: Configuration | undefined;
}

/** What a node does to the world around it. */
export interface NodeWorld {
  send(from: ReplicaId, envelope: Envelope): void;
  durable(node: ReplicaId, record: ReplicaRecord): void;
  effects(node: SimNode, effects: Effects): void;
  /** What a node's monotonic clock says. */
  clockOf(node: ReplicaId): number;
}

/** A replica with a disk that forgets what was not synced, and a store that falls back to its last flush. */
export class SimNode {
  replica: Replica | undefined;
  /** What a replica that joins is told of its group; of founders nothing. */
  private joined: Configuration | undefined;
  /** Its replica was removed from the group and will not come back. */
  destroyed = false;
  log: ReplicaRecord[] = [];
  /** The store: its states since the last flush, that of the flush first. A crash may leave any of them. */
  private boundaries: Boundary[] = [{ applied: 0, snapshotThrough: 0, term: NO_BALLOT, configuration: undefined }];
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

  /** How far the store has applied. */
  get applied(): Instance {
    return this.store.applied;
  }

  /** Of the state that the store holds. */
  get term(): Ballot {
    return this.store.term;
  }

  start(): void {
    const read = this.store.configuration;
    // The store shows that the replica was removed: the host destroys it instead of starting it.
    if (read?.members.every(({ replicaId }) => replicaId !== this.id) === true) {
      const joinedLater = this.joined !== undefined && read.version < this.joined.version;
      if (!joinedLater) return this.destroy();
    }
    const ahead = this.joined !== undefined && (read?.version ?? -1) < this.joined.version;
    this.replica = this.makeReplica({ ...this.options, configuration: ahead ? this.joined : read, ahead });
    for (const record of this.log) this.replica.restore(record);
    this.replica.restored(this.applied, this.store.snapshotThrough, this.store.term);
  }

  step(input: Input): void {
    if (this.replica === undefined) return;
    if (this.replica.mindsTime && input.kind !== 'time') {
      this.step({ kind: 'time', nowUs: this.world.clockOf(this.id) });
    }
    const effects = this.replica.step(input);
    for (const envelope of effects.sendNow) this.world.send(this.id, envelope);
    if (effects.persist.length + effects.send.length > 0) {
      this.unsynced.push({ records: effects.persist, send: effects.send });
    }
    for (const { instance, value, term } of effects.chosen) {
      const configuration = changeIn(value) ?? this.store.configuration;
      this.boundaries.push({ ...this.store, applied: instance, term, configuration });
    }
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

  /** The store takes over the state of a peer, and with it the configuration after that. */
  install({ applied: through, term }: SimNode, configuration: Configuration): void {
    if (this.replica === undefined || through <= this.applied) return;
    this.boundaries.push({ applied: through, snapshotThrough: through, term, configuration });
    this.step({ kind: 'snapshot-installed', through, term, configuration });
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
