import { invariant } from '@synod/invariant';
import { SynodError, type Disk, type DiskFile } from '@synod/runtime';
import { BatchBuilder } from './batch';
import { deferred } from './deferred';
import type { ReplayedRecord, WalRecord } from './record';
import { replay, type ReplayEnd } from './replay';
import {
  createSegment,
  SEGMENT_FORMAT,
  SEGMENT_HEADER_BYTES,
  segmentName,
  segmentNumbers,
  type SegmentHeader,
} from './segment';
import { writeAgain } from './write-again';

export interface WalOptions {
  readonly disk: Disk;
  /** Of the data folder; created if it is missing. The log is its only writer. */
  readonly folder: string;
  /** A batch that would take a segment beyond this begins the next one; only a single larger batch makes a larger segment. */
  readonly segmentBytes?: number;
  /** The release that writes, named to whoever meets what it cannot read; at most 32 characters. */
  readonly release?: string;
  /** The record kinds that this release understands: another one found stops the start. Any are taken if absent. */
  readonly knownKinds?: readonly number[];
  /** Called for every record of the log in the order of the appends, before `open` resolves, with the segment that holds it; of the last batch, that held it. */
  readonly onRecord: (record: ReplayedRecord, segment: number) => void;
  /** Called once, when a write or a sync failed: the process must stop. Waiting appends are rejected as well. */
  readonly onFailure?: (error: SynodError) => void;
}

/** Replay reads a segment in a second or so, and truncation (of whole segments) keeps little more than it must. */
const SEGMENT_BYTES = 64 << 20;

/**
 * A write-ahead log with group commit: one log per node for all its groups.
 *
 * Source: DeWitt et al., "Implementation Techniques for Main Memory Database Systems", SIGMOD 1984, §5.2 (group commit); Mohan et
 * al., "ARIES", TODS 1992 (log before effect). Differs in that no timer forms the groups: what arrives while a sync is under way
 * goes together into the next, so that batches grow with load and an idle log answers after one sync.
 *
 * Invariant `synced-before-acknowledged`: an append resolves only once its records and all earlier ones are synced.
 */
export class Wal {
  private sequence: number;
  /** The last batch that the disk said is synced. */
  private syncedSequence = 0;
  /** Where the next batch goes. Everything before it in this segment is synced. */
  private offset = SEGMENT_HEADER_BYTES;

  /** What the next segment will say is the oldest that a replay needs. */
  private oldest: number;
  /** Segments before this are deleted, or being deleted. */
  private deletedBefore: number;
  /** Resolves when no segment is being deleted. Never rejects. */
  private deleting: Promise<void> = Promise.resolve();

  /** What arrives now, and who waits for it; `writing` is on its way to the disk. They take turns. */
  private filling = { batch: new BatchBuilder(), durable: deferred<number>() };
  private writing = { batch: new BatchBuilder(), durable: deferred<number>() };
  /** Set while batches are being written; resolves when none is left. Never rejects. */
  private drained: Promise<void> | undefined;
  private failure: SynodError | undefined;
  private closing: Promise<void> | undefined;

  private constructor(
    private readonly options: WalOptions,
    private file: DiskFile,
    private segment: number,
    { nextSequence, oldestSegment }: ReplayEnd,
  ) {
    this.sequence = nextSequence;
    this.oldest = this.deletedBefore = oldestSegment;
  }

  /**
   * Opens the log of a folder, replaying what it holds, and makes that durable whatever syncs have failed before (`writeAgain`). Begins a new
   * segment, so that nothing is ever written behind a torn tail, and so that everything replayed is from now on known to be synced.
   * @throws {SynodError} `corrupt` if the log is harmed: see `replay`; `failed-precondition` if it is of a later release
   */
  static async open(options: WalOptions): Promise<Wal> {
    const { disk, folder } = options;
    await disk.makeFolder(folder);
    await disk.syncDirectory(parentOf(folder));
    const replayed = await replay(options);
    const { oldestSegment: oldest, nextSequence } = replayed;
    const headerOf = (number: number, firstSequence: number): SegmentHeader =>
      headerFor(options, { oldest, number, firstSequence });
    const number = await writeAgain(disk, folder, replayed, headerOf);
    const file = await createSegment(disk, folder, headerOf(number, nextSequence));
    const leftOver = (await segmentNumbers(disk, folder)).filter((each) => each < oldest);
    if (leftOver.length > 0) await deleteSegments(disk, folder, leftOver);
    return new Wal(options, file, number, replayed);
  }

  /** The segment being written. Those before it change no more. */
  get currentSegment(): number {
    return this.segment;
  }

  /** The oldest segment that has not been given up. */
  get oldestSegment(): number {
    return this.oldest;
  }

  /**
   * Gives up the segments before `oldest`: the caller has made sure that no replay needs a record of them, with whatever it appended for
   * that durable. They are deleted once another segment, whose header says so, is durable: the next one, begun as soon as nobody waits.
   */
  giveUpBefore(oldest: number): void {
    this.oldest = Math.max(this.oldest, Math.min(oldest, this.segment));
    if (this.closing === undefined && this.failure === undefined) this.drained ??= this.drain();
  }

  /** Bytes taken in and not yet durable. The log itself sets no bound: its host stops taking work above one. */
  get pendingBytes(): number {
    return this.filling.batch.contentBytes + this.writing.batch.contentBytes;
  }

  /**
   * Takes records in, in order, copying their payloads.
   * @returns resolves once these and all earlier records are durable, in the order of the appends, with the number of the segment that
   * holds them; for no records, once all earlier ones are. Rejects with `outcome-unknown` if the log fails first: the records may or may not be found by the next start.
   * @throws {SynodError} (by rejection) `invalid-argument` for a record that does not fit the format: nothing was appended
   */
  append(records: readonly WalRecord[]): Promise<number> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    if (this.closing !== undefined)
      return Promise.reject(new SynodError('unavailable', 'the write-ahead log is closed'));
    if (records.length > 0) {
      try {
        this.filling.batch.add(records);
      } catch (error) {
        return Promise.reject(error instanceof Error ? error : new Error(String(error)));
      }
      this.drained ??= this.drain();
    }
    if (!this.filling.batch.isEmpty) return this.filling.durable.promise;
    return this.drained === undefined ? Promise.resolve(this.segment) : this.writing.durable.promise;
  }

  /** Waits for everything appended, notes at the end that all of it is synced, and closes the file. */
  close(): Promise<void> {
    this.closing ??= this.finish();
    return this.closing;
  }

  /** Writes batch after batch until nothing is left to write, nor to be deleted: an idle log shrinks too. */
  private async drain(): Promise<void> {
    for (;;) {
      // The rest of this turn, and whoever was waiting for the batch before, may still add to this one.
      await Promise.resolve();
      const idle = this.filling.batch.isEmpty;
      if (this.failure !== undefined || (idle && this.oldest === this.deletedBefore)) break;
      try {
        if (idle) {
          await this.beginSegment();
          continue;
        }
        [this.filling, this.writing] = [this.writing, this.filling];
        this.filling.durable = deferred<number>();
        await this.write(this.writing.batch);
      } catch (cause) {
        this.fail(cause);
        break;
      }
      const { sequence, syncedSequence } = this;
      invariant(
        syncedSequence + 1 === sequence,
        'synced-before-acknowledged',
        () => `${syncedSequence} of ${sequence}`,
      );
      this.writing.batch.reset();
      this.writing.durable.resolve(this.segment);
    }
    this.drained = undefined;
  }

  private async write(batch: BatchBuilder): Promise<void> {
    const isFull = this.offset + batch.size > (this.options.segmentBytes ?? SEGMENT_BYTES);
    if (isFull && this.offset > SEGMENT_HEADER_BYTES) await this.beginSegment();
    // One batch at a time: everything before this offset is synced.
    const bytes = batch.seal(
      { segment: this.segment, offset: this.offset },
      { sequence: this.sequence, syncedOffset: this.offset },
    );
    const { sequence } = this;
    await this.file.write(this.offset, bytes).then(() => (this.syncedSequence = sequence));
    this.offset += bytes.length;
    this.sequence += 1;
  }

  private async beginSegment(): Promise<void> {
    const { disk, folder } = this.options;
    const { oldest, sequence: firstSequence } = this;
    const header = headerFor(this.options, { oldest, number: this.segment + 1, firstSequence });
    const file = await createSegment(disk, folder, header);
    await this.file.close();
    this.file = file;
    this.segment += 1;
    this.offset = SEGMENT_HEADER_BYTES;
    this.deleteBefore(oldest);
  }

  /** Deletes what the newest header, which is durable, has given up. Appends do not wait for it. */
  private deleteBefore(oldest: number): void {
    const { disk, folder } = this.options;
    const numbers = Array.from({ length: oldest - this.deletedBefore }, (_, index) => this.deletedBefore + index);
    if (numbers.length === 0) return;
    this.deletedBefore = oldest;
    this.deleting = this.deleting
      .then(() => deleteSegments(disk, folder, numbers))
      .catch((cause: unknown) => this.fail(cause));
  }

  /** After a failed sync the kernel may have dropped the pages and say so only once: no retry can tell what is on the disk. */
  private fail(cause: unknown): void {
    if (this.failure !== undefined) return;
    const where = `${segmentName(this.options.folder, this.segment)} at offset ${this.offset}`;
    const why = cause instanceof Error ? cause.message : String(cause);
    this.failure = new SynodError('outcome-unknown', `write-ahead log: cannot write ${where}: ${why}`, { cause });
    this.writing.durable.reject(this.failure);
    this.filling.durable.reject(this.failure);
    this.options.onFailure?.(this.failure);
  }

  private async finish(): Promise<void> {
    await this.drained;
    try {
      // An empty batch behind the last one: whatever harms the log from here on is rot, not a torn tail.
      if (this.failure === undefined) await this.write(new BatchBuilder());
    } finally {
      await this.deleting;
      await this.file.close();
    }
  }
}

function headerFor(
  { release = '' }: WalOptions,
  place: Pick<SegmentHeader, 'oldest' | 'number' | 'firstSequence'>,
): SegmentHeader {
  return { format: SEGMENT_FORMAT, release, ...place };
}

/** Oldest first. What a crash leaves of them the next start deletes. */
async function deleteSegments(disk: Disk, folder: string, numbers: readonly number[]): Promise<void> {
  for (const number of numbers) await disk.remove(segmentName(folder, number));
  await disk.syncDirectory(folder);
}

function parentOf(folder: string): string {
  return folder.includes('/') ? folder.slice(0, folder.lastIndexOf('/')) : '';
}
