import { closeSync, openSync, unlinkSync } from 'node:fs';
import { MergedPairs } from './merge';
import { PairBuffer, type Folding } from './pair-buffer';
import { forEachGroup, type GroupFunction, type PairCursor } from './pairs';
import { fileRun, RunWriter } from './run-file';

/** Runs merged at once: bounds open files and the blocks in memory. */
const FAN_IN = 64;

export interface SorterOptions {
  readonly partitions: number;
  readonly folding: Folding;
  /** Applied to the pairs of a key whenever some of them meet, any number of times. */
  readonly combine: GroupFunction | undefined;
  /** Memory for pairs; when it is full they are sorted and spilled. */
  readonly bufferBytes: number;
  /** Path that the names of spill files begin with. */
  readonly spillPrefix: string;
}

/** A run file and where its partitions begin: `offsets[p]` to `offsets[p + 1]`. */
export interface RunFile {
  readonly path: string;
  readonly offsets: readonly number[];
  readonly pairs: number;
}

/** Sorts pairs by partition, key and value, in bounded memory: spills sorted runs and merges them (external merge sort). */
export class Sorter {
  private readonly buffer: PairBuffer;
  private readonly spills: RunFile[] = [];
  /** Open spill files by path. */
  private readonly open = new Map<string, number>();
  private files = 0;

  constructor(private readonly options: SorterOptions) {
    this.buffer = new PairBuffer(options.partitions, options.folding, options.bufferBytes);
  }

  get spillCount(): number {
    return this.files;
  }

  add(keyBytes: Uint8Array, keyStart: number, keyEnd: number, value: Uint8Array): void {
    if (this.buffer.add(keyBytes, keyStart, keyEnd, value)) return;
    this.spill();
    this.buffer.add(keyBytes, keyStart, keyEnd, value);
  }

  addCount(keyBytes: Uint8Array, keyStart: number, keyEnd: number, count: number): void {
    if (this.buffer.addCount(keyBytes, keyStart, keyEnd, count)) return;
    this.spill();
    this.buffer.addCount(keyBytes, keyStart, keyEnd, count);
  }

  /** Writes everything, sorted and combined, as one run file. */
  writeRun(path: string): RunFile {
    this.mergeDown();
    const buffered = this.buffer.sorted();
    const run = this.write(path, (partition) => this.cursors(partition, buffered));
    this.release();
    return run;
  }

  /** Everything of a sorter with one partition, sorted. Call `release` when done. */
  merged(): PairCursor {
    this.mergeDown();
    return new MergedPairs(this.cursors(0, this.buffer.sorted()));
  }

  /** Removes the spill files. */
  release(): void {
    this.remove(this.spills.splice(0));
  }

  private spill(): void {
    const buffered = this.buffer.sorted();
    this.spills.push(this.write(this.spillPath(), (partition) => [buffered[partition] as PairCursor]));
    this.buffer.clear();
  }

  /** Intermediate passes, until what is left can be merged at once. */
  private mergeDown(): void {
    while (this.spills.length >= FAN_IN) {
      const oldest = this.spills.slice(0, FAN_IN);
      const merged = this.write(this.spillPath(), (partition) => oldest.map((run) => this.read(run, partition)));
      this.spills.splice(0, FAN_IN, merged);
      this.remove(oldest);
    }
  }

  private remove(runs: readonly RunFile[]): void {
    for (const { path } of runs) {
      const file = this.open.get(path);
      if (file !== undefined) closeSync(file);
      this.open.delete(path);
      unlinkSync(path);
    }
  }

  private cursors(partition: number, buffered: readonly PairCursor[]): PairCursor[] {
    return [...this.spills.map((run) => this.read(run, partition)), buffered[partition] as PairCursor];
  }

  private read(run: RunFile, partition: number): PairCursor {
    const file = this.open.get(run.path) ?? openSync(run.path, 'r');
    this.open.set(run.path, file);
    return fileRun(file, run.path, run.offsets[partition] as number, run.offsets[partition + 1] as number);
  }

  private write(path: string, cursorsOf: (partition: number) => PairCursor[]): RunFile {
    const writer = RunWriter.create(path);
    try {
      const offsets = [0];
      for (let partition = 0; partition < this.options.partitions; partition++) {
        const cursors = cursorsOf(partition);
        this.writePartition(cursors, writer);
        offsets.push(writer.endPartition());
      }
      return { path, offsets, pairs: writer.pairs };
    } finally {
      writer.close();
    }
  }

  private writePartition(cursors: readonly PairCursor[], writer: RunWriter): void {
    const { combine, folding } = this.options;
    const [only] = cursors;
    const cursor = only !== undefined && cursors.length === 1 ? only : new MergedPairs(cursors);
    // A buffer that folds has done the combiner's work already.
    if (combine === undefined || (cursor === only && folding !== 'all')) writer.addAll(cursor);
    else forEachGroup(cursor, (key, values) => combine(key, values, (outKey, value) => writer.add(outKey, value)));
  }

  private spillPath(): string {
    return `${this.options.spillPrefix}.spill-${this.files++}`;
  }
}
