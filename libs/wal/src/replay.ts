import { SynodError, type Disk } from '@synod/runtime';
import type { Place } from './batch';
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

/** Where the log ends. */
export interface ReplayEnd {
  readonly oldestSegment: number;
  /** 0 if there is none. */
  readonly newestSegment: number;
  readonly nextSequence: number;
  /** Absent from a log that holds none. */
  readonly lastBatch?: LastBatch;
  /** Segments that go on behind where the next one begins, and where that is: a crash came between `writeAgain` and its end. */
  readonly overlaps: readonly Overlap[];
}

/** What stands in a segment behind where the next one begins. */
export interface Overlap extends Place {
  /** The body of the batch with which the next one begins, if it is still whole here. */
  readonly copy: Buffer | undefined;
}

/** The only batch of a log that may not be durable. */
export interface LastBatch extends Place {
  readonly sequence: number;
  readonly body: Buffer;
}

/**
 * Reads every record in the order of the appends, and changes nothing. What it read last may be in the page cache only: see `writeAgain`.
 *
 * A segment ends where the next one begins (`SegmentHeader.firstSequence`): what stands behind that was torn, or the next one says it again.
 *
 * Invariant `torn-is-not-rotten`: a crash leaves at most one batch unfinished, the last one written, since the next is written only
 * once it is synced. So bytes that are no batch are a torn tail only where no batch, and no segment that goes on from them, comes behind;
 * nothing in them was acknowledged. Anything else was synced once and is harmed now: rot, which must not be passed over,
 * because an acceptor that forgets a vote can make two values chosen.
 * @throws {SynodError} `corrupt` on rot; `failed-precondition` if a later release wrote what this one cannot read
 */
export async function replay(options: ReplayOptions): Promise<ReplayEnd> {
  const { disk, folder } = options;
  const { oldest, segments } = await neededSegments(disk, folder);
  let end: ReplayEnd = { oldestSegment: oldest, newestSegment: 0, nextSequence: 1, overlaps: [] };
  for (const [index, segment] of segments.entries()) {
    const expected = oldest + index;
    if (segment.number !== expected) throw missing(folder, expected, segments[0]?.number ?? expected);
    const file = await disk.open(segment.name);
    try {
      end = await replaySegment(options, await SegmentReader.of(file, segment.number), segment, end);
    } finally {
      await file.close();
    }
  }
  return end;
}

interface Segment {
  readonly name: string;
  readonly number: number;
  /** Absent if it is damaged. */
  readonly header: SegmentHeader | undefined;
  readonly isFirst: boolean;
  readonly isLast: boolean;
  /** The sequence with which the next one begins. */
  readonly nextBegins: number;
}

/**
 * The segments of the log, and the number of the oldest by the word of the newest: that was durable before the first one was deleted. Segments before
 * are what a crash left of a truncation.
 */
async function neededSegments(
  disk: Disk,
  folder: string,
): Promise<{ readonly oldest: number; readonly segments: readonly Segment[] }> {
  const found = await segmentNumbers(disk, folder);
  const headers = new Map<number, SegmentHeader | undefined>();
  for (const number of found) headers.set(number, await headerOf(disk, segmentName(folder, number)));
  const newest = [...headers.values()].findLast((header) => header !== undefined);
  const oldest = newest?.oldest ?? found[0] ?? 1;
  const numbers = found.filter((number) => number >= oldest);
  const segments = numbers.map((number, index) => ({
    name: segmentName(folder, number),
    number,
    header: headers.get(number),
    isFirst: index === 0,
    isLast: index === numbers.length - 1,
    nextBegins: headers.get(number + 1)?.firstSequence ?? Infinity,
  }));
  return { oldest, segments };
}

async function headerOf(disk: Disk, name: string): Promise<SegmentHeader | undefined> {
  const file = await disk.open(name);
  try {
    return parseSegmentHeader(await file.read(0, SEGMENT_HEADER_BYTES));
  } finally {
    await file.close();
  }
}

function missing(folder: string, expected: number, oldestHere: number): SynodError {
  const name = segmentName(folder, expected);
  if (oldestHere <= expected) return rotten(name, 0, 'this segment is missing');
  return rotten(name, 0, `segments from ${expected} on are needed, and the oldest here is ${oldestHere}`);
}

async function replaySegment(
  options: ReplayOptions,
  reader: SegmentReader,
  segment: Segment,
  before: ReplayEnd,
): Promise<ReplayEnd> {
  const { name, number, header, isFirst, isLast, nextBegins } = segment;
  if (header === undefined) {
    // The header is synced before the first batch goes in: torn, it has no batch behind it.
    if (!isLast || (await reader.holdsBatchFrom(0))) throw rotten(name, 0, 'its header is damaged');
    return { ...before, newestSegment: number };
  }
  checkHeader(header, segment, before);

  let offset = SEGMENT_HEADER_BYTES;
  let sequence = isFirst ? header.firstSequence : before.nextSequence;
  let { lastBatch } = before;
  const again = before.overlaps.find((each) => each.segment === number - 1);
  while (sequence < nextBegins) {
    const batch = await reader.batchAt(offset);
    if (batch === undefined) break;
    if (batch.sequence !== sequence)
      throw rotten(name, offset, `batch ${batch.sequence} stands where ${sequence} should`);
    if (offset === SEGMENT_HEADER_BYTES && again?.copy?.equals(batch.body) === false)
      throw rotten(name, offset, `another batch ${sequence} stands in the segment before`);
    if (batch.syncedOffset > offset)
      throw rotten(name, offset, `it claims ${batch.syncedOffset} bytes before it to be synced`);
    for (const record of readRecords(batch.body)) {
      checkKind(options, record, header, `${name}, batch at offset ${offset}`);
      options.onRecord(record, number);
    }
    lastBatch = { segment: number, offset, sequence, body: batch.body };
    offset += batch.size;
    sequence += 1;
  }
  // It has had its name only since that batch was durable.
  if (again !== undefined && offset === SEGMENT_HEADER_BYTES)
    throw rotten(name, offset, 'the batch is damaged that it was begun with');
  const overlaps = [...before.overlaps];
  if (offset < reader.size) {
    if (sequence === nextBegins)
      overlaps.push({ segment: number, offset, copy: await copyAt(reader, offset, sequence, name) });
    else if (!isLast) throw rotten(name, offset, 'no valid batch begins there, although a later segment follows');
    else if (await reader.holdsBatchFrom(offset))
      throw rotten(name, offset, 'no valid batch begins there, although a later one follows');
  }
  return { ...before, newestSegment: number, nextSequence: sequence, ...(lastBatch && { lastBatch }), overlaps };
}

/**
 * What a segment holds of the batch that the next one begins with.
 * @throws {SynodError} `corrupt` if it holds more batches than that one: no crash leaves them
 */
async function copyAt(
  reader: SegmentReader,
  offset: number,
  sequence: number,
  name: string,
): Promise<Buffer | undefined> {
  const copy = await reader.batchAt(offset);
  if ((copy?.sequence ?? sequence) !== sequence || (await reader.holdsBatchFrom(offset + (copy?.size ?? 0))))
    throw rotten(name, offset, `it goes on, although the next segment begins with batch ${sequence}`);
  return copy?.body;
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
