import type { etcdserverpb } from '@synod/contracts';
import type { CallContext } from '@synod/rpc';
import { RELEASE } from '@synod/runtime';
import { DIGEST_BYTES, snapshotPieces, withDigest, type SnapshotHeader } from '../snapshot-file';
import type { StateSnapshot } from '../state-snapshot';
import { ETCD_API_VERSION } from './api-version';
import { asStatus, type ServedMember } from './member';

/** Of one message of the stream. (etcd: 32 KiB.) */
const PIECE_BYTES = 64 * 1024;

/**
 * This member's state at one moment, as a snapshot file. Needs no leader: a backup must be had when the majority is gone. It is walked twice, the
 * first time for its size, which the protocol tells ahead. A client that does not read holds the walk up, not the member.
 */
export async function* streamSnapshot(
  member: ServedMember,
  context: CallContext,
): AsyncGenerator<etcdserverpb.SnapshotResponse> {
  let snapshot: StateSnapshot;
  try {
    snapshot = member.host.snapshots.open();
  } catch (error) {
    throw asStatus(error);
  }
  try {
    const header = headerOf(member, snapshot);
    let remaining = DIGEST_BYTES;
    for await (const piece of snapshotPieces(header, snapshot.records())) {
      if (context.aborted) return;
      remaining += piece.length;
    }
    for await (const piece of withDigest(snapshotPieces(header, snapshot.records()))) {
      for (let at = 0; at < piece.length; at += PIECE_BYTES) {
        const blob = piece.subarray(at, at + PIECE_BYTES);
        remaining -= blob.length;
        const { revision } = snapshot.meta;
        yield { header: member.header(revision), remainingBytes: String(remaining), blob, version: ETCD_API_VERSION };
      }
    }
  } finally {
    snapshot.release();
  }
}

function headerOf({ node, host }: ServedMember, { meta }: StateSnapshot): SnapshotHeader {
  return {
    release: RELEASE,
    cluster: node.founding.clusterId,
    member: node.nodeId,
    revision: meta.revision.toString(),
    compacted: meta.compacted.toString(),
    instance: host.group.status().appliedThrough,
  };
}
