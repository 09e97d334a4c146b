import type { Row, ShardId, Timestamp } from '@synod/protocols';
import { compareBytes, successor, SynodError } from '@synod/runtime';
import type { ShardRouter } from './shard-router';

/** Keys in unsigned byte order. */
export interface ScanRange {
  readonly start: Buffer;
  /** Excluded. Empty is after every key. */
  readonly end: Buffer;
}

/** No fewer rows are asked of a shard at once, however small the limit. */
const SHARD_ROWS_MIN = 16;
/** And no more. */
const SHARD_ROWS_MAX = 1_000;
/** Shards asked at once. */
const PARALLEL_MAX = 16;

/** What is left to read of one shard. */
interface Cursor {
  readonly shard: ShardId;
  /** Fetched and not yet taken, in key order. */
  rows: readonly Row[];
  taken: number;
  /** Where the next page begins; undefined once the shard has no more. */
  next: Buffer | undefined;
}

/**
 * Reads a key range of all shards at one timestamp in key order: scatter, gather, merge. A shard is asked for its share of the limit
 * only (limit push-down), and for more when the merge has used that up.
 * @returns up to `limit` rows, and whether there may be more
 * @throws {SynodError} `unavailable`, `overloaded`
 */
export async function scanShards(
  router: ShardRouter,
  shardCount: number,
  range: ScanRange,
  options: { readonly limit: number; readonly readTs: Timestamp; readonly timeoutUs: number },
): Promise<{ rows: Row[]; more: boolean }> {
  const { limit, readTs, timeoutUs } = options;
  const share = Math.min(SHARD_ROWS_MAX, Math.max(SHARD_ROWS_MIN, Math.ceil((2 * limit) / shardCount)));
  const cursors = Array.from({ length: shardCount }, (_, shard): Cursor => ({
    shard,
    rows: [],
    taken: 0,
    next: range.start,
  }));
  const fetch = async (cursor: Cursor): Promise<void> => {
    const { shard, next: start } = cursor;
    if (start === undefined) return;
    const answer = await router.request(
      shard,
      { kind: 'scan', shard, start, end: range.end, limit: share, readTs },
      { timeoutUs },
    );
    if (answer.kind !== 'scan') throw new SynodError('corrupt', `shard ${shard} answered a scan with ${answer.kind}`);
    const last = answer.rows.at(-1);
    cursor.rows = answer.rows;
    cursor.taken = 0;
    cursor.next = answer.more && last !== undefined ? successor(last.key) : undefined;
  };
  await inParallel(cursors, fetch);

  const rows: Row[] = [];
  for (;;) {
    // A row may be taken only while every shard shows its next one: else a smaller key could still be on its way.
    await inParallel(cursors.filter(isDrained), fetch);
    const first = smallest(cursors);
    if (first === undefined) return { rows, more: false };
    if (rows.length === limit) return { rows, more: true };
    rows.push(first.rows[first.taken++] as Row);
  }
}

function isDrained(cursor: Cursor): boolean {
  return cursor.taken === cursor.rows.length && cursor.next !== undefined;
}

function smallest(cursors: readonly Cursor[]): Cursor | undefined {
  let best: Cursor | undefined;
  let bestKey: Buffer | undefined;
  for (const cursor of cursors) {
    const key = cursor.rows[cursor.taken]?.key;
    if (key !== undefined && (bestKey === undefined || compareBytes(key, bestKey) < 0)) [best, bestKey] = [cursor, key];
  }
  return best;
}

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  const worker = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL_MAX, items.length) }, worker));
}
