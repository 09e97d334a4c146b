import type { StoreReader } from '@synod/runtime';
import type { EtcdErrorName } from './errors';
import { entryOf, type KeySpace, type Latest } from './key-space';
import type { KeyValue, RangeRequest, Revision, SortTarget } from './requests';
import type { RangeResult } from './results';
import { spanOf, type Span } from './span';

/** A key that is alive in the state being read, its value not fetched yet. */
interface Alive {
  readonly key: Buffer;
  readonly latest: Latest;
}

/** Reads a range. `revisionNow` is the store's revision; inside a transaction that already changed something, the one being made. */
export function range(
  keySpace: KeySpace,
  reader: StoreReader,
  request: RangeRequest,
  revisionNow: Revision,
): RangeResult {
  const span = spanOf(request.key, request.rangeEnd);
  const alive = aliveIn(keySpace, reader, span, request.revision > 0n ? request.revision : revisionNow, revisionNow);
  const passing = collect(alive, request);
  const count = BigInt(passing.count);
  if (request.countOnly) return { kind: 'range', revision: revisionNow, entries: [], more: false, count };
  const fetch = (key: Alive): KeyValue => fetched(keySpace, reader, key, request.keysOnly);
  const limit = limitOf(request);
  // Sorting by value needs the values even when only keys are wanted.
  const ordered = sorted(passing.keys, request, (key) => fetched(keySpace, reader, key, false).value);
  const entries = (ordered.length > limit ? ordered.slice(0, limit) : ordered).map(fetch);
  return { kind: 'range', revision: revisionNow, entries, more: ordered.length > limit, count };
}

/** Why a range cannot be read at the revision it asks for, if so. */
export function refuseRevision(request: RangeRequest, now: Revision, compacted: Revision): EtcdErrorName | undefined {
  if (request.revision > now) return 'future-revision';
  // The state at the compacted revision itself is still whole.
  return request.revision > 0n && request.revision < compacted ? 'compacted' : undefined;
}

/** The keys of a span that exist at `revision`, in key order. */
export function* aliveIn(
  keySpace: KeySpace,
  reader: StoreReader,
  span: Span,
  revision: Revision,
  revisionNow: Revision,
): Generator<Alive> {
  for (const { key, latest } of candidates(keySpace, reader, span)) {
    const then = revision >= revisionNow ? latest : latestAt(keySpace, reader, latest, revision);
    if (then !== undefined && then.version > 0n) yield { key, latest: then };
  }
}

function candidates(keySpace: KeySpace, reader: StoreReader, span: Span): Iterable<Alive> {
  const single = span.end?.length === span.start.length + 1 && span.end.subarray(0, -1).equals(span.start);
  if (!single || span.end?.at(-1) !== 0) return keySpace.latestIn(reader, span);
  const latest = keySpace.latest(reader, span.start);
  return latest === undefined ? [] : [{ key: span.start, latest }];
}

/** Walks back from the newest version to the one that was newest at `revision`. */
function latestAt(keySpace: KeySpace, reader: StoreReader, newest: Latest, revision: Revision): Latest | undefined {
  let candidate: Latest = newest;
  while (candidate.place.revision > revision) {
    const previous = keySpace.version(reader, candidate.place)?.previous;
    // A version that is compacted away was replaced before any revision that may still be read.
    const version = previous && keySpace.version(reader, previous);
    if (version === undefined) return undefined;
    candidate = version;
  }
  return candidate;
}

function collect(alive: Iterable<Alive>, request: RangeRequest): { keys: Alive[]; count: number } {
  const keys: Alive[] = [];
  // Unsorted, the first keys win; the rest is only counted.
  const keep = isSorted(request) ? Infinity : limitOf(request) + 1;
  let count = 0;
  for (const key of alive) {
    count++;
    if (!request.countOnly && keys.length < keep && passes(key.latest, request)) keys.push(key);
  }
  return { keys, count };
}

function passes({ place, createRevision }: Latest, request: RangeRequest): boolean {
  return (
    within(place.revision, request.minModRevision, request.maxModRevision) &&
    within(createRevision, request.minCreateRevision, request.maxCreateRevision)
  );
}

function within(revision: Revision, min: Revision, max: Revision): boolean {
  return (min === 0n || revision >= min) && (max === 0n || revision <= max);
}

function isSorted(request: RangeRequest): boolean {
  return request.sortOrder === 'descend' || request.sortTarget !== 'key';
}

function limitOf(request: RangeRequest): number {
  return request.limit > 0n && request.limit < 0x7fff_ffffn ? Number(request.limit) : Infinity;
}

function sorted(keys: Alive[], request: RangeRequest, valueOf: (key: Alive) => Buffer): Alive[] {
  if (!isSorted(request)) return keys;
  const sign = request.sortOrder === 'descend' ? -1 : 1;
  const decorated = keys.map((alive) => ({ alive, by: sortKey(alive, request.sortTarget, valueOf) }));
  decorated.sort((a, b) => sign * compare(a.by, b.by));
  return decorated.map(({ alive }) => alive);
}

function sortKey({ key, latest }: Alive, target: SortTarget, valueOf: (key: Alive) => Buffer): Buffer | bigint {
  switch (target) {
    case 'key':
      return key;
    case 'version':
      return latest.version;
    case 'create':
      return latest.createRevision;
    case 'mod':
      return latest.place.revision;
    case 'value':
      return valueOf({ key, latest });
  }
}

function compare(a: Buffer | bigint, b: Buffer | bigint): number {
  if (typeof a === 'bigint' || typeof b === 'bigint') return a < b ? -1 : a > b ? 1 : 0;
  return Buffer.compare(a, b);
}

const NO_VALUE = Buffer.alloc(0);

function fetched(keySpace: KeySpace, reader: StoreReader, alive: Alive, keysOnly: boolean): KeyValue {
  const { key, latest } = alive;
  const value = keysOnly ? NO_VALUE : (keySpace.version(reader, latest.place)?.value ?? NO_VALUE);
  return entryOf({ ...latest, key, value, previous: undefined });
}
