import type { ShardPlacement } from '@synod/coordination';
import type { ShardId } from '@synod/protocols';
import type { Founding, GroupId } from '@synod/replication';
import { SynodError } from '@synod/runtime';

/** First byte of every row of a shard in the node's store; 0x00 is the replica host's, 0x01 the coordination service's. */
const SHARD_ROWS = 0x02;

/** The Paxos group of a shard. */
export function groupOf(shard: ShardId): GroupId {
  return `shard-${shard}`;
}

/** @returns undefined for a group that is no shard's */
export function shardOfGroup(group: GroupId): ShardId | undefined {
  const digits = /^shard-(\d{1,5})$/.exec(group)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** What all keys of a shard begin with in the node's store. */
export function prefixOf(shard: ShardId): Buffer {
  return Buffer.of(SHARD_ROWS, shard >> 8, shard & 0xff);
}

/** The founding configuration of a shard's group, as the planner placed it. */
export function foundingOf({ shard, members }: ShardPlacement): Founding {
  return {
    group: groupOf(shard),
    members: members.map(({ replicaId, nodeId, incarnation }) => ({ replicaId, nodeId, incarnation })),
  };
}

/**
 * A replica lives on one disk. A node whose disk is another than the one that the shard was founded with must not vote: it has forgotten
 * what it promised.
 * @throws {SynodError} `failed-precondition`
 */
export function checkPlaced(
  { shard, members }: ShardPlacement,
  self: { readonly nodeId: string; readonly incarnation: string },
): void {
  const placed = members.find(({ nodeId }) => nodeId === self.nodeId);
  if (placed === undefined || placed.incarnation === self.incarnation) return;
  throw new SynodError(
    'failed-precondition',
    `shard ${shard} was founded on ${self.nodeId} with data folder ${placed.incarnation}, this one is ${self.incarnation}: restore that folder, or use another --node-id`,
  );
}
