import type { ReplicaId } from '@synod/paxos';

const FNV_OFFSET = 0xcbf29ce484222325n;
const FNV_PRIME = 0x100000001b3n;
const MASK_64 = (1n << 64n) - 1n;

/** The cluster's name as the 64-bit number that etcd's clients know it by. */
export function clusterNumber(clusterId: string): bigint {
  return /^[0-9a-f]{16}$/.test(clusterId) ? BigInt(`0x${clusterId}`) : fnv64(clusterId);
}

/**
 * A member as a 64-bit number, the same on every member, from before it has a name until it is gone. Never 0, which means "no leader".
 */
export function memberNumber(clusterId: string, replicaId: ReplicaId): bigint {
  return fnv64(`${clusterId}/${replicaId}`) || 1n;
}

/** FNV-1a (Fowler, Noll, Vo) of the text's UTF-8 bytes. */
function fnv64(text: string): bigint {
  let hash = FNV_OFFSET;
  for (const byte of Buffer.from(text)) hash = ((hash ^ BigInt(byte)) * FNV_PRIME) & MASK_64;
  return hash;
}
