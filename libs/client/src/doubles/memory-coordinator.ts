import { shardOf } from '@synod/consistent-hashing';
import {
  coordinatorProtocol,
  serveRequests,
  type CoordinatorRequest,
  type CoordinatorResponse,
  type ShardId,
  type StorageResponse,
  type Timestamp,
} from '@synod/protocols';
import { fateOf, type Decision } from '@synod/two-phase-commit';
import type { MemoryCluster } from './memory-cluster';

type Commit = Extract<CoordinatorRequest, { kind: 'commit' }>;

/**
 * A transaction coordinator of a `MemoryCluster` for the specs of its clients: commits in one step, as nothing can fail between two
 * shards of one process. (The real one is tested in apps/txn-coordinator.)
 */
export function serveMemoryCoordinator(cluster: MemoryCluster, nodeId: string, address: string): void {
  cluster.register('txn-coordinator', nodeId, address);
  const handle = async (request: CoordinatorRequest): Promise<CoordinatorResponse> => {
    switch (request.kind) {
      case 'begin':
        return { kind: 'begun', readTs: cluster.nextTs() };
      case 'commit':
        return commit(cluster, request);
      case 'outcome': {
        const proposal: Decision = { state: 'aborted', attempt: request.attempt };
        return outcome(decide(cluster, request.txn, proposal, []), false, 'decided when it was asked about');
      }
    }
  };
  serveRequests<CoordinatorRequest, CoordinatorResponse>(
    cluster.network.transport(address),
    coordinatorProtocol(),
    handle,
    {
      inflightMax: 100,
    },
  );
}

function commit(cluster: MemoryCluster, { attempt, reads, writes }: Commit): CoordinatorResponse {
  const { txn } = attempt;
  const shards = [...new Set([...reads, ...writes].map(({ key }) => shardOf(key, cluster.shardCount)))];
  const of = <T extends { readonly key: Buffer }>(shard: ShardId, items: readonly T[]): T[] =>
    items.filter(({ key }) => shardOf(key, cluster.shardCount) === shard);
  const votes = shards.map((shard) =>
    ask(cluster, shard, { kind: 'prepare', shard, attempt, reads: of(shard, reads), writes: of(shard, writes) }),
  );
  const no = votes.find((vote) => vote.kind === 'conflict');
  const commitTs = votes.reduce(
    (max: Timestamp, vote) => (vote.kind === 'prepared' && vote.prepTs > max ? vote.prepTs : max),
    0n,
  );
  const proposal: Decision =
    no === undefined
      ? { state: 'committed', attempt: attempt.attempt, commitTs }
      : { state: 'aborted', attempt: attempt.attempt };
  const decided = votes.find((vote) => vote.kind === 'record')?.record;
  const record = decided !== undefined && decided.state !== 'none' ? decided : decide(cluster, txn, proposal, shards);
  for (const shard of shards) ask(cluster, shard, { kind: 'resolve', shard, txn, outcome: record });
  const conflict = fateOf(attempt.attempt, record) === 'aborted';
  return outcome(record, conflict, no?.reason ?? '');
}

function decide(
  cluster: MemoryCluster,
  txn: Commit['attempt']['txn'],
  proposal: Decision,
  participants: ShardId[],
): Decision {
  const answer = ask(cluster, txn.anchor, { kind: 'decide', shard: txn.anchor, txn, proposal, participants });
  if (answer.kind !== 'record' || answer.record.state === 'none')
    throw new Error(`decide was answered with ${answer.kind}`);
  return answer.record;
}

function ask(
  cluster: MemoryCluster,
  shard: ShardId,
  request: Parameters<MemoryCluster['shards'][0]['handle']>[0],
): StorageResponse {
  const target = cluster.shards[shard];
  if (target === undefined) throw new Error(`there is no shard ${shard}`);
  return target.handle(request);
}

function outcome(record: Decision, conflict: boolean, reason: string): CoordinatorResponse {
  return { kind: 'outcome', outcome: record, conflict, reason };
}
