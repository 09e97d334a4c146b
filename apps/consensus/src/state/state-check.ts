import type { StoreTransaction } from '@synod/runtime';
import type { KeySpace } from './key-space';
import { hashRecord, SetHash } from './state-hash';

/** A step that met large values ends early: it runs inside the turn that applies the log. */
const STEP_BYTES_MAX = 128 * 1024;

export interface CheckedStretch {
  readonly hash: bigint;
  /** Where the next stretch begins; undefined at the end of the state. */
  readonly next: Buffer | undefined;
}

/**
 * Hashes a stretch of the replicated state at this place in the log. The state is a function of the log, bytes included, so the hash is
 * the same on every member: invariant `replicas-are-equal`. A member that finds another one has bytes that the log did not put there.
 */
export function checkState(
  keySpace: KeySpace,
  transaction: StoreTransaction,
  start: Buffer,
  entries: number,
): CheckedStretch {
  const hash = new SetHash();
  let left = entries;
  let bytes = 0;
  for (const { key, value } of keySpace.records(transaction, start)) {
    if (left-- === 0 || bytes >= STEP_BYTES_MAX) return { hash: hash.value, next: key };
    hash.add(hashRecord(key, value));
    bytes += key.length + value.length;
  }
  return { hash: hash.value, next: undefined };
}
