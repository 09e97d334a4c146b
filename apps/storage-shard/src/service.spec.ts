import { MemoryCluster, SnapshotReader } from '@synod/client';
import type { CallContext } from '@synod/rpc';
import { storageService } from './service';
import { onePhaseOf } from './testing/requests';

const context = { remainingMs: 5_000 } as CallContext;

async function served() {
  const cluster = new MemoryCluster();
  const { routing, router, timestamps } = cluster.client();
  const desk = { nodeId: 's1', routing, router, reader: new SnapshotReader(routing, router), timestamps };
  const statuses = () => [
    {
      shard: 3,
      status: {
        group: 'shard-3',
        replicaId: 2,
        role: 'leader',
        promised: { round: 4, replica: 2 },
        leader: 's1',
        chosenThrough: 9,
        appliedThrough: 8,
        truncatedThrough: 0,
        members: [{ replicaId: 2, nodeId: 's1', incarnation: 'x' }],
      } as const,
    },
  ];
  const { Get, Scan, Status } = storageService({ ...desk, statuses });
  if (Get === undefined || Scan === undefined || Status === undefined) throw new Error('a call is not served');
  await cluster.time.until(routing.ready());
  for (const key of ['a/1', 'a/2', 'a/3', 'b']) {
    const shard = routing.shardOf(Buffer.from(key));
    const write = onePhaseOf(shard, { txn: key, writes: { [key]: `of ${key}` } });
    await cluster.time.until(router.request(shard, write));
  }
  const until = <T>(answer: T | Promise<T>): Promise<T> => cluster.time.until(Promise.resolve(answer));
  const scan = (fields: { prefix?: string; limit?: number; after?: string; readTs?: string }) =>
    until(
      Scan(
        {
          prefix: Buffer.from(fields.prefix ?? ''),
          limit: fields.limit ?? 0,
          after: Buffer.from(fields.after ?? ''),
          readTs: fields.readTs ?? '0',
        },
        context,
      ),
    );
  return { until, scan, get: (key: string) => until(Get({ key: Buffer.from(key) }, context)), status: Status };
}

it('reads a key wherever it lives, with the version as a string', async () => {
  const { get } = await served();
  const found = await get('a/1');
  expect(found.value?.toString()).toBe('of a/1');
  expect(found.version).toMatch(/^[1-9]\d*$/);
  expect(await get('missing')).toEqual({ version: '0' });
  await expect(get('')).rejects.toMatchObject({ kind: 'invalid-argument' });
});

it('scans all shards in key order, page after page, from one snapshot', async () => {
  const { scan } = await served();
  const first = await scan({ prefix: 'a/', limit: 2 });
  expect(first.rows?.map(({ key }) => String(key))).toEqual(['a/1', 'a/2']);
  expect(first.more).toBe(true);
  const rest = await scan({ prefix: 'a/', limit: 2, after: 'a/2', readTs: String(first.readTs) });
  expect(rest.rows?.map(({ key }) => String(key))).toEqual(['a/3']);
  expect(rest).toMatchObject({ more: false, readTs: first.readTs });
  expect((await scan({})).rows).toHaveLength(4);
  await expect(scan({ limit: 10_001 })).rejects.toMatchObject({ kind: 'invalid-argument' });
});

it('shows the replicas of this node', async () => {
  const { status } = await served();
  expect(status({}, context)).toEqual({
    nodeId: 's1',
    replicas: [
      {
        shard: 3,
        replicaId: 2,
        role: 'leader',
        leaderNodeId: 's1',
        ballotRound: 4,
        chosenThrough: 9,
        appliedThrough: 8,
        memberNodeIds: ['s1'],
      },
    ],
  });
});
