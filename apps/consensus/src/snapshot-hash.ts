import { EtcdError } from './state/errors';
import type { Version } from './state/key-space';
import { hashRecord, SetHash, type RecordHash } from './state/state-hash';
import type { Revision } from './state/requests';
import type { StateSnapshot } from './state-snapshot';

/** A hash of every record of the state: equal on members that have applied the same of the log. */
export async function hashState(
  snapshot: StateSnapshot,
): Promise<{ readonly revision: Revision; readonly hash: number }> {
  const hash = new SetHash();
  for await (const page of snapshot.records()) for (const { key, value } of page) hash.add(hashRecord(key, value));
  return { revision: snapshot.meta.revision, hash: hash.value32 };
}

export interface HistoryHash {
  /** The store's, when it was hashed. */
  readonly revision: Revision;
  readonly compacted: Revision;
  /** Up to which the history went into the hash. */
  readonly hashRevision: Revision;
  readonly hash: number;
}

/**
 * A hash of the history up to a revision that is above what was compacted: the same on every member, at any time, with the same
 * compacted revision, however far a member is with removing what the compaction made unreachable.
 * @param asked 0 or less for the present
 * @throws {EtcdError} as etcd's HashKV
 */
export async function hashHistory(snapshot: StateSnapshot, asked: Revision): Promise<HistoryHash> {
  const { revision, compacted } = snapshot.meta;
  if (asked > revision) throw new EtcdError('future-revision');
  if (asked > 0n && asked < compacted) throw new EtcdError('compacted');
  const hashRevision = asked > 0n ? asked : revision;
  const hash = new SetHash();
  for await (const page of snapshot.history()) {
    for (const version of page) if (version.place.revision <= hashRevision) addVersion(snapshot, hash, version);
    if ((page.at(-1)?.place.revision ?? 0n) >= hashRevision) break;
  }
  return { revision, compacted, hashRevision, hash: hash.value32 };
}

/** Counts what a finished compaction would have left: it may still be under way here. */
function addVersion({ meta, keySpace, reader }: StateSnapshot, hash: SetHash, version: Version): void {
  const { compacted } = meta;
  if (version.place.revision <= compacted && version.previous !== undefined) {
    const replaced = keySpace.version(reader, version.previous);
    if (replaced !== undefined && isKept(replaced, compacted)) hash.remove(hashVersion(replaced));
  }
  if (isKept(version, compacted)) hash.add(hashVersion(version));
}

/** Whether a version outlives a compaction if none replaced it before. */
function isKept({ place, version }: Version, compacted: Revision): boolean {
  return version > 0n || place.revision >= compacted;
}

function hashVersion({ place, key, value, createRevision, version, lease }: Version): RecordHash {
  const numbers = Buffer.allocUnsafe(36);
  numbers.writeBigInt64BE(place.revision, 0);
  numbers.writeUInt32BE(place.sub, 8);
  numbers.writeBigInt64BE(createRevision, 12);
  numbers.writeBigInt64BE(version, 20);
  numbers.writeBigInt64BE(lease, 28);
  return hashRecord(Buffer.concat([numbers, key]), value);
}
