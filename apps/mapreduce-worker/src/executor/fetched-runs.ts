import { closeSync, openSync, unlinkSync } from 'node:fs';
import { MergedPairs } from './merge';
import type { PairCursor } from './pairs';
import { checkRun, fileRun, memoryRun, RunWriter } from './run-file';

/** Fetched runs that are kept in memory until a partition is merged; beyond that they are merged to disk. */
const MEMORY_BYTES = 64 * 1024 * 1024;
/** Runs on disk that are merged at once. */
const FAN_IN = 64;

interface DiskRun {
  readonly path: string;
  readonly bytes: number;
}

/** What a reducer has fetched so far, in bounded memory. */
export class FetchedRuns {
  private inMemory: Buffer[] = [];
  private memoryBytes = 0;
  private readonly onDisk: DiskRun[] = [];
  private readonly open: number[] = [];
  private files = 0;

  constructor(
    private readonly scratchPrefix: string,
    private readonly memoryBytesMax = MEMORY_BYTES,
  ) {}

  /**
   * Takes the bytes of one whole run.
   * @throws {SynodError} `corrupt`, naming `where`, if a checksum does not match: the run is not taken
   */
  add(run: Buffer, where: string): void {
    checkRun(run, where);
    this.inMemory.push(run);
    this.memoryBytes += run.length;
    if (this.memoryBytes > this.memoryBytesMax) this.mergeToDisk();
  }

  /** Everything, as one sorted cursor that calls `visited` for each pair. Call `release` when done. */
  merged(visited: () => void): PairCursor {
    while (this.onDisk.length > FAN_IN) this.mergeOldest();
    return new MergedPairs([...this.inMemory.map(memoryRun), ...this.onDisk.map((run) => this.read(run))], visited);
  }

  release(): void {
    for (const file of this.open.splice(0)) closeSync(file);
    for (const { path } of this.onDisk.splice(0)) unlinkSync(path);
    this.inMemory = [];
  }

  private mergeToDisk(): void {
    this.onDisk.push(this.write(this.inMemory.map(memoryRun)));
    this.inMemory = [];
    this.memoryBytes = 0;
  }

  private mergeOldest(): void {
    const oldest = this.onDisk.splice(0, FAN_IN);
    const merged = this.write(oldest.map((run) => this.read(run)));
    for (const file of this.open.splice(0)) closeSync(file);
    for (const { path } of oldest) unlinkSync(path);
    this.onDisk.push(merged);
  }

  private write(cursors: readonly PairCursor[]): DiskRun {
    const path = `${this.scratchPrefix}.fetched-${this.files++}`;
    const writer = RunWriter.create(path);
    try {
      writer.addAll(new MergedPairs(cursors));
      return { path, bytes: writer.endPartition() };
    } finally {
      writer.close();
    }
  }

  private read({ path, bytes }: DiskRun): PairCursor {
    const file = openSync(path, 'r');
    this.open.push(file);
    return fileRun(file, path, 0, bytes);
  }
}
