import { invariant } from '@synod/invariant';
import type { StoreTransaction } from '@synod/runtime';
import type { KeySpace } from './key-space';
import type { LeaseId, LeaseRemaining } from './requests';
import type { ApplyResult } from './results';
import type { RevisionWriter } from './revision-writer';

/** A shorter lease could expire while a new leader is being found. (etcd: 1.5 election time-outs, rounded up.) */
export const LEASE_TTL_MIN_SECONDS = 2n;
export const LEASE_TTL_MAX_SECONDS = 9_000_000_000n;

/** What is logged of a lease is that it exists and how long it lives, and now and then what is left of it; its leader's clock knows the rest. */
export function grantLease(
  keySpace: KeySpace,
  transaction: StoreTransaction,
  id: LeaseId,
  ttlSeconds: bigint,
): ApplyResult {
  const { revision } = keySpace.meta(transaction);
  if (ttlSeconds > LEASE_TTL_MAX_SECONDS) return { kind: 'refused', revision, error: 'lease-ttl-too-large' };
  if (keySpace.lease(transaction, id) !== undefined) return { kind: 'refused', revision, error: 'lease-exists' };
  const granted = ttlSeconds < LEASE_TTL_MIN_SECONDS ? LEASE_TTL_MIN_SECONDS : ttlSeconds;
  keySpace.setLease(transaction, { id, ttlSeconds: granted, remainingSeconds: granted });
  return { kind: 'lease-granted', revision, id, ttlSeconds: granted };
}

/** Ends a lease and deletes the keys it holds, all in one revision. Expiry is this same command, proposed by the leader. */
export function revokeLease(writer: RevisionWriter, id: LeaseId): ApplyResult {
  const { keySpace, transaction } = writer;
  if (keySpace.lease(transaction, id) === undefined) {
    return { kind: 'refused', revision: writer.revision, error: 'lease-not-found' };
  }
  for (const key of keySpace.attachedKeys(transaction, id)) {
    const latest = writer.latest(key);
    invariant(latest?.lease === id, 'attached-key-holds-its-lease', () => `lease ${id}`);
    if (latest !== undefined) writer.remove(key, latest);
  }
  keySpace.removeLease(transaction, id);
  return { kind: 'lease-revoked', revision: writer.revision };
}

/** Notes how long leases have left at this place in the log. Those that are gone are passed over. */
export function checkpointLeases(
  keySpace: KeySpace,
  transaction: StoreTransaction,
  leases: readonly LeaseRemaining[],
): ApplyResult {
  for (const { id, remainingSeconds } of leases) {
    const lease = keySpace.lease(transaction, id);
    if (lease !== undefined) keySpace.setLease(transaction, { ...lease, remainingSeconds });
  }
  return { kind: 'lease-checkpointed', revision: keySpace.meta(transaction).revision };
}
