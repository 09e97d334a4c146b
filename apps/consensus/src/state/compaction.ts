import type { StoreReader, StoreTransaction } from '@synod/runtime';
import type { KeySpace, Version } from './key-space';
import type { Revision } from './requests';
import type { ApplyResult, VersionPlace } from './results';

/**
 * Gives up the states before `revision`: reads of them are refused from now on. What they alone needed is removed by the steps that
 * follow in the log, so that no replica stands still for it.
 */
export function compact(keySpace: KeySpace, transaction: StoreTransaction, revision: Revision): ApplyResult {
  const meta = keySpace.meta(transaction);
  if (revision > meta.revision) return { kind: 'refused', revision: meta.revision, error: 'future-revision' };
  if (revision <= meta.compacted) return { kind: 'refused', revision: meta.revision, error: 'compacted' };
  keySpace.setMeta(transaction, { ...meta, compacted: revision });
  return { kind: 'compacted', revision: meta.revision };
}

/**
 * Walks up to `limit` events of the compacted history, in order, and removes
 * - the version that each of them replaced: it was the newest only in states that are gone;
 * - the event itself if it is a deletion before the compacted revision. At that revision it stays, for watches that start there.
 */
export function compactStep(keySpace: KeySpace, transaction: StoreTransaction, limit: number): ApplyResult {
  const meta = keySpace.meta(transaction);
  if (!compactionPending(keySpace, transaction))
    return { kind: 'compact-step', revision: meta.revision, finished: true };
  const page: Version[] = [];
  let next: VersionPlace | undefined;
  for (const version of keySpace.versionsFrom(transaction, meta.removedBefore)) {
    if (version.place.revision > meta.compacted) break;
    if (page.length === limit) {
      next = version.place;
      break;
    }
    page.push(version);
  }
  for (const version of page) removeUnreachable(keySpace, transaction, version, meta.compacted);
  // The next compaction looks at the compacted revision once more: its deletions go then.
  const removedBefore = next ?? { revision: meta.compacted, sub: 0 };
  keySpace.setMeta(transaction, { ...meta, removedBefore });
  return { kind: 'compact-step', revision: meta.revision, finished: next === undefined };
}

/** Whether a compaction has records left to remove. */
export function compactionPending(keySpace: KeySpace, reader: StoreReader): boolean {
  const { compacted, removedBefore } = keySpace.meta(reader);
  return removedBefore.revision < compacted;
}

function removeUnreachable(
  keySpace: KeySpace,
  transaction: StoreTransaction,
  version: Version,
  compacted: Revision,
): void {
  if (version.previous !== undefined) keySpace.removeVersion(transaction, version.previous);
  if (version.version > 0n || version.place.revision === compacted) return;
  keySpace.removeVersion(transaction, version.place);
  const latest = keySpace.latest(transaction, version.key);
  if (latest?.place.revision === version.place.revision && latest.place.sub === version.place.sub) {
    keySpace.removeLatest(transaction, version.key);
  }
}
