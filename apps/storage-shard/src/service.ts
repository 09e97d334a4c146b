import { scanShards, type Routing, type ShardRouter, type SnapshotReader } from '@synod/client';
import type { storageV1 } from '@synod/contracts';
import type { ShardId, Timestamp } from '@synod/protocols';
import type { GroupStatus } from '@synod/replication';
import type { ServiceHandlers } from '@synod/rpc';
import { prefixEnd, successor } from '@synod/runtime';
import { checkKey, checkTimestamp, invalid, SCAN_ROWS_MAX } from './host/limits';

/** What the unary calls need of the node. */
export interface ThinClientDesk {
  readonly nodeId: string;
  readonly routing: Routing;
  readonly router: ShardRouter;
  readonly reader: SnapshotReader;
  readonly timestamps: { next(): Promise<Timestamp> };
  statuses(): readonly { readonly shard: ShardId; readonly status: GroupStatus }[];
}

const SCAN_ROWS_DEFAULT = 1_000;
/** A call that comes without a deadline, or a later one, waits no longer for a shard. */
const TIMEOUT_US_MAX = 10_000_000;

/**
 * The unary calls for thin clients such as grpcurl: any node answers for the whole store. The stream for everybody else is served through
 * the transport.
 */
export function storageService(desk: ThinClientDesk): ServiceHandlers<'synod.storage.v1.Storage'> {
  return {
    Get: async ({ key }, { remainingMs }) => {
      checkKey(key, 'key');
      const [found] = await desk.reader.read([key], await desk.timestamps.next(), timeoutUs(remainingMs));
      const version = (found?.version ?? 0n).toString();
      return found?.value === undefined ? { version } : { value: found.value, version };
    },
    Scan: async ({ prefix, limit, after, readTs: asked }, { remainingMs }) => {
      const rowsMax = limit === 0 ? SCAN_ROWS_DEFAULT : limit;
      if (rowsMax > SCAN_ROWS_MAX) throw invalid(`limit is ${limit}: at most ${SCAN_ROWS_MAX}`);
      const { shardCount } = await desk.routing.ready();
      const readTs = asked === '0' ? await desk.timestamps.next() : BigInt(asked);
      checkTimestamp(readTs, 'read_ts');
      const range = {
        start: after.length === 0 ? prefix : successor(after),
        end: prefixEnd(prefix) ?? Buffer.alloc(0),
      };
      const options = { limit: rowsMax, readTs, timeoutUs: timeoutUs(remainingMs) };
      const { rows, more } = await scanShards(desk.router, shardCount, range, options);
      const shown = rows.map(({ key, value, version }) => ({ key, value, version: version.toString() }));
      return { rows: shown, more, readTs: readTs.toString() };
    },
    Status: () => ({
      nodeId: desk.nodeId,
      replicas: desk.statuses().map(({ shard, status }) => replicaStatus(shard, status)),
    }),
  };
}

function replicaStatus(shard: ShardId, status: GroupStatus): storageV1.ReplicaStatus {
  return {
    shard,
    replicaId: status.replicaId,
    role: status.role,
    leaderNodeId: status.leader ?? '',
    ballotRound: status.promised.round,
    chosenThrough: status.chosenThrough,
    appliedThrough: status.appliedThrough,
    memberNodeIds: status.members.map(({ nodeId }) => nodeId),
  };
}

function timeoutUs(remainingMs: number): number {
  return Math.min(remainingMs * 1_000, TIMEOUT_US_MAX);
}
