import { SynodError, type Disk, type DiskFile } from '@synod/runtime';
import { readRecords, type ReplayedRecord } from './record';
import {
  parseSegmentHeader,
  rotten,
  SEGMENT_FORMAT,
  SEGMENT_HEADER_BYTES,
  segmentName,
  segmentNumbers,
  type SegmentHeader,
} from './segment';
import { SegmentReader } from './segment-reader';

export interface ReplayOptions {
  readonly disk: Disk;
  readonly folder: string;
  /** The record kinds that this release understands; any if absent. */
  readonly knownKinds?: readonly number[];
  /** @param segment number of the segment that holds it */
  readonly onRecord: (record: ReplayedRecord, segment: number) => void;
}

/** Where the log goes on. */
export interface ReplayEnd {
  readonly oldestSegment: number;
  /** The number for the segment to begin: new, or that of a last segment without any batch. */
  readonly nextSegment: number;
  readonly nextSequence: number;
}

/**
 * Reads every record in the order of the appends. Afterwards all that it read is durable, and a torn tail is cut.
 *
 * Invariant `torn-is-not-rotten`: a crash leaves at most one batch unfinished, the last one written, since the next is written only
 * once it is synced. So bytes that are no batch are a torn tail only where no batch, and no segment, comes behind them; those may
 * be cut, as nothing in them was acknowledged. Anything else was synced once and is harmed now: rot, which must not be passed over,
 * because an acceptor that forgets a vote can make two values chosen.
 * @throws {SynodError} `corrupt` on rot; `failed-precondition` if a later release wrote what this one cannot read
 */
export async function replay(options: ReplayOptions): Promise<ReplayEnd> {
  const { disk, folder } = options;
  const found = await segmentNumbers(disk, folder);
  const oldest = (await oldestNeeded(disk, folder, found)) ?? found[0] ?? 1;
  const numbers = found.filter((number) => number >= oldest);
  let end: ReplayEnd = { oldestSegment: oldest, nextSegment: oldest, nextSequence: 1 };
  for (const [index, number] of numbers.entries()) {
    const expected = end.oldestSegment + index;
    if (number !== expected) throw missing(folder, expected, numbers[0] ?? number);
    const name = segmentName(folder, number);
    const file = await disk.open(name);
    try {
      const isLast = index === numbers.length - 1;
      end = await replaySegment(options, { file, name, number, isFirst: index === 0, isLast }, end);
    } finally {
      await file.close();
    }
  }
  // The process may have died between creating a segment and syncing its name.
  if (numbers.length > 0) await disk.syncDirectory(folder);
  return end;
}

/**
 * Where the replay begins, by the word of the newest segment: it was durable before the first one was deleted. Segments before that are
 * what a crash left of a truncation.
 * @returns undefined if there is no segment with a whole header
 */
async function oldestNeeded(disk: Disk, folder: string, numbers: readonly number[]): Promise<number | undefined> {
  for (const number of numbers.toReversed()) {
    const file = await disk.open(segmentName(folder, number));
    try {
      const header = parseSegmentHeader(await file.read(0, SEGMENT_HEADER_BYTES));
      if (header !== undefined) return header.oldest;
    } finally {
      await file.close();
    }
  }
  return undefined;
}

function missing(folder: string, expected: number, oldestHere: number): SynodError {
  const name = segmentName(folder, expected);
  if (oldestHere <= expected) return rotten(name, 0, 'this segment is missing');
  return rotten(name, 0, `segments from ${expected} on are needed, and the oldest here is ${oldestHere}`);
}

interface Segment {
  readonly file: DiskFile;
  readonly name: string;
  readonly number: number;
  readonly isFirst: boolean;
  readonly isLast: boolean;
}

async function replaySegment(options: ReplayOptions, segment: Segment, before: ReplayEnd): Promise<ReplayEnd> {
  const { file, name, number, isFirst, isLast } = segment;
  const reader = await SegmentReader.of(file, number);
  const header = parseSegmentHeader(await reader.bytes(0, SEGMENT_HEADER_BYTES));
  if (header === undefined) {
    // The header is synced before the first batch goes in: torn, it has no batch behind it.
    if (!isLast || (await reader.holdsBatchFrom(0))) throw rotten(name, 0, 'its header is damaged');
    return { ...before, nextSegment: number };
  }
  checkHeader(header, segment, before);

  let offset = SEGMENT_HEADER_BYTES;
  let sequence = isFirst ? header.firstSequence : before.nextSequence;
  for (let batch = await reader.batchAt(offset); batch !== undefined; batch = await reader.batchAt(offset)) {
    if (batch.sequence !== sequence)
      throw rotten(name, offset, `batch ${batch.sequence} stands where ${sequence} should`);
    if (batch.syncedOffset > offset)
      throw rotten(name, offset, `it claims ${batch.syncedOffset} bytes before it to be synced`);
    for (const record of readRecords(batch.body)) {
      checkKind(options, record, header, `${name}, batch at offset ${offset}`);
      options.onRecord(record, number);
    }
    offset += batch.size;
    sequence += 1;
  }
  if (offset < reader.size) {
    if (!isLast) throw rotten(name, offset, 'no valid batch begins there, although a later segment follows');
    if (await reader.holdsBatchFrom(offset)) {
      throw rotten(name, offset, 'no valid batch begins there, although a later one follows');
    }
    await file.truncate(offset);
  }
  // What was read may have been in the page cache only: it must be durable before anyone acts on it.
  if (isLast) await file.sync();
  const isUnused = isLast && offset === SEGMENT_HEADER_BYTES;
  return { ...before, nextSegment: isUnused ? number : number + 1, nextSequence: sequence };
}

function checkHeader(header: SegmentHeader, segment: Segment, before: ReplayEnd): void {
  const { name, number, isFirst } = segment;
  if (header.format !== SEGMENT_FORMAT) {
    throw new SynodError(
      'failed-precondition',
      `write-ahead log: ${name} has format ${header.format} and this release reads ${SEGMENT_FORMAT}: ` +
        `start Synod ${header.release} or later, which wrote it`,
    );
  }
  if (header.number !== number) throw rotten(name, 0, `it holds segment ${header.number}`);
  if (!isFirst && header.firstSequence !== before.nextSequence) {
    const what = `it begins with batch ${header.firstSequence}, but the segment before ends with ${before.nextSequence - 1}`;
    throw rotten(name, 0, what);
  }
}

function checkKind(options: ReplayOptions, record: ReplayedRecord, header: SegmentHeader, where: string): void {
  if (options.knownKinds === undefined || options.knownKinds.includes(record.kind)) return;
  throw new SynodError(
    'failed-precondition',
    `write-ahead log: ${where}: this release does not know record kind ${record.kind} (group ${record.group}): ` +
      `start Synod ${header.release} or later, which wrote it`,
  );
}
