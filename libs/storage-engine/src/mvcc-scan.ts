import { prefixEnd, successor, SynodError, type Entry, type StoreReader } from '@synod/runtime';
import { valueOf } from './mvcc';
import { decodeKey, startOf, timestampOf, versionKey, versionsEnd, versionsStart } from './mvcc-key';

/** A key that had a value at the timestamp of a scan. */
export interface ScanEntry {
  readonly key: Buffer;
  readonly value: Buffer;
  /** The timestamp that value was written at. */
  readonly version: bigint;
}

/**
 * The keys in `[start, end)` that had a value at `timestamp`, lazily and in order. An unwanted version is stepped over, or sought past
 * when a key has many. Nothing bounds the work between two entries, which a region of deletions can make long: see `scanPage`.
 * @param start the empty key for the first of all
 * @param end undefined for all from `start` on
 */
export function* scanAt(
  reader: StoreReader,
  prefix: Uint8Array,
  start: Uint8Array,
  end: Uint8Array | undefined,
  timestamp: bigint,
): Generator<ScanEntry> {
  for (const { found } of visits(reader, prefix, start, end, timestamp)) if (found !== undefined) yield found;
}

/** Which page of a scan, and how much it may take. */
export interface PageOptions {
  readonly prefix: Uint8Array;
  readonly start: Uint8Array;
  readonly end: Uint8Array | undefined;
  readonly timestamp: bigint;
  /** Entries. */
  readonly limit: number;
  /** Bytes of keys and values; the entry that goes beyond it is the last. */
  readonly bytesMax?: number;
  /** Stored versions looked at, so that a region of deletions cannot hold up the event loop. */
  readonly visitsMax?: number;
}

export interface ScanPage {
  readonly entries: readonly ScanEntry[];
  /** Where the next page starts; undefined if the range is exhausted. A page may be short, even empty, without being the last. */
  readonly resume: Buffer | undefined;
}

const BYTES_MAX = 1 << 20;
/** About 50 ms. */
const VISITS_MAX = 20_000;
/** A page gets past at least one key, however many versions it has: see `STEPS_BEFORE_SEEK`. */
const VISITS_MIN = 16;

/** One bounded page of `scanAt`. */
export function scanPage(reader: StoreReader, options: PageOptions): ScanPage {
  const { prefix, start, end, timestamp, limit, bytesMax = BYTES_MAX } = options;
  const visitsMax = Math.max(options.visitsMax ?? VISITS_MAX, VISITS_MIN);
  const entries: ScanEntry[] = [];
  let bytes = 0;
  let visited = 0;
  let last: Visit | undefined;
  for (const visit of visits(reader, prefix, start, end, timestamp)) {
    const isNewKey = last === undefined || !visit.start.equals(last.start);
    const isFull = entries.length >= limit || bytes >= bytesMax;
    if ((isFull && isNewKey) || visited >= visitsMax) {
      const key = decodeKey(visit.start, prefix.length);
      return { entries, resume: !isNewKey && last?.isSettled === true ? successor(key) : key };
    }
    if (visit.found !== undefined) {
      entries.push(visit.found);
      bytes += visit.found.key.length + visit.found.value.length;
    }
    visited += 1;
    last = visit;
  }
  return { entries, resume: undefined };
}

/** A look at one stored version. */
interface Visit {
  /** `prefix | enc(key)`: see `versionsStart`. */
  readonly start: Buffer;
  /** The entry of this key, at the visit that finds it. */
  readonly found: ScanEntry | undefined;
  /** Whether nothing more is wanted of this key. */
  readonly isSettled: boolean;
}

/** Stepping over a version costs about a third of a seek. */
const STEPS_BEFORE_SEEK = 4;

function* visits(
  reader: StoreReader,
  prefix: Uint8Array,
  start: Uint8Array,
  end: Uint8Array | undefined,
  timestamp: bigint,
): Generator<Visit> {
  const last = end === undefined ? prefixEnd(prefix) : versionsStart(prefix, end);
  if (last === undefined) throw new SynodError('invalid-argument', 'the prefix of a scan has no end');
  let seek: Buffer | undefined = versionsStart(prefix, start);
  let visit: Visit | undefined;
  while (seek !== undefined) {
    const range = { start: seek, end: last };
    seek = undefined;
    let steps = 0;
    for (const entry of reader.range(range)) {
      const before: Visit | undefined = visit;
      visit = look(entry, before, prefix.length, timestamp);
      yield visit;
      steps = before !== undefined && visit.start.equals(before.start) ? steps + 1 : 0;
      if (steps < STEPS_BEFORE_SEEK) continue;
      seek = visit.isSettled ? versionsEnd(visit.start) : versionKey(visit.start, timestamp);
      break;
    }
  }
}

function look({ key: stored, value }: Entry, before: Visit | undefined, prefixBytes: number, timestamp: bigint): Visit {
  const start = startOf(stored);
  if (before?.isSettled === true && before.start.equals(start)) return { start, found: undefined, isSettled: true };
  const version = timestampOf(stored);
  if (version > timestamp) return { start, found: undefined, isSettled: false };
  const present = valueOf(value);
  const found = present === undefined ? undefined : { key: decodeKey(start, prefixBytes), value: present, version };
  return { start, found, isSettled: true };
}
