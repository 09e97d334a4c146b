import { invariant } from '@synod/invariant';
import type { Disk } from '@synod/runtime';
import { batchOf, type Place } from './batch';
import type { ReplayEnd } from './replay';
import { createSegment, SEGMENT_HEADER_BYTES, segmentName, type SegmentHeader } from './segment';

/**
 * Makes sure of the last batch of a log, before anyone acts on it. What is before it was synced, or it would not be there. It itself may be in the page
 * cache only, and a sync is no help: where one has failed before, the kernel may take the pages for clean though they never reached the disk
 * (Rebello et al., "Can Applications Recover from fsync Failures?", ATC 2020, §3). Nor may it be written over: on most days it is durable,
 * and acknowledged, and a power cut in the midst of that would tear it. So it is written again elsewhere, as the only batch of a
 * segment, which has a name once it is whole; then the old one is cut off, and the log is one that any release can read.
 *
 * Invariant `written-before-believed`: no start ends before it has written and synced the last batch of what it read.
 * @param headerOf what a segment of this number, beginning with this sequence, says of itself
 * @returns the number for the segment to begin; it may be that of one without any batch
 */
export async function writeAgain(
  disk: Disk,
  folder: string,
  { lastBatch, newestSegment, nextSequence, oldestSegment, overlaps }: ReplayEnd,
  headerOf: (number: number, firstSequence: number) => SegmentHeader,
): Promise<number> {
  if (lastBatch === undefined) return Math.max(newestSegment, oldestSegment);
  const { segment, offset, sequence, body } = lastBatch;
  invariant(sequence + 1 === nextSequence, 'written-before-believed', () => `${sequence}, next ${nextSequence}`);
  // A segment that begins with it, and so holds nothing else, is replaced as a whole.
  const isAlone = offset === SEGMENT_HEADER_BYTES;
  const number = isAlone ? segment : segment + 1;
  const place = { segment: number, offset: SEGMENT_HEADER_BYTES };
  const batch = batchOf(body, place, { sequence, syncedOffset: SEGMENT_HEADER_BYTES });
  const file = await createSegment(disk, folder, headerOf(number, sequence), batch);
  await file.close();
  for (const overlap of isAlone ? overlaps : [...overlaps, { segment, offset }]) await cut(disk, folder, overlap);
  return Math.max(newestSegment, number + 1);
}

async function cut(disk: Disk, folder: string, { segment, offset }: Place): Promise<void> {
  const file = await disk.open(segmentName(folder, segment));
  try {
    await file.truncate(offset);
    await file.sync();
  } finally {
    await file.close();
  }
}
