import { SimFile, type Draws, type SimNode } from '@synod/simulation';

/** What every batch of a log begins with; see libs/wal. */
const BATCH_MAGIC = Buffer.from('SBt1');
/** What stands before the first batch of a segment. */
const SEGMENT_HEADER_BYTES = 64;

/**
 * Flips bits somewhere in what the log of a stopped machine holds for good: in the newest segment, before its last batch. Whatever stands
 * before another batch was synced, so it is no torn tail, and a start must find it (`torn-is-not-rotten`).
 * @returns whether there was enough of a log
 */
export function harmLog(node: SimNode<unknown>, folder: string, draws: Draws): boolean {
  const files = [...(node.disk.folders.folder([folder])?.seen ?? [])].filter(([name]) => name.endsWith('.wal'));
  const newest = files.sort(([a], [b]) => (a < b ? -1 : 1)).at(-1)?.[1];
  if (!(newest instanceof SimFile)) return false;
  // A batch that was not synced may be gone before anyone looks.
  const end = newest.readSynced(0, newest.size).lastIndexOf(BATCH_MAGIC);
  if (end <= SEGMENT_HEADER_BYTES) return false;
  newest.rot(draws.between(SEGMENT_HEADER_BYTES, end - 1));
  return true;
}
