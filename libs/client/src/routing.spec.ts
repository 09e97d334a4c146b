import { clusterCodec, clusterKey } from '@synod/coordination';
import type { StorageRequest } from '@synod/protocols';
import { SynodError } from '@synod/runtime';
import { MemoryCluster, storageAddress, STORAGE_NODES } from './doubles/memory-cluster';

const STORAGE = '/synod.storage.v1.Storage/Exchange';
const nothing = (shard: number): StorageRequest => ({ kind: 'read', shard, keys: [], readTs: 0n });

/** The storage requests that were sent, as `node`, in order. */
function watchRequests(cluster: MemoryCluster): string[] {
  const sent: string[] = [];
  cluster.network.fate = ({ protocol, direction, server }) => {
    if (protocol === STORAGE && direction === 'up') sent.push(server);
    return 'delivered';
  };
  return sent;
}

function otherThan(leader: string | undefined): string {
  return STORAGE_NODES.find((node) => node !== leader)!;
}

describe('ShardRouter', () => {
  it('asks the preferred leader first, and whoever answered last after that', async () => {
    const cluster = new MemoryCluster();
    const client = cluster.client();
    await cluster.time.until(client.routing.ready());
    const sent = watchRequests(cluster);
    const moved = otherThan(cluster.leaders.get(3));
    const first = cluster.leaders.get(3)!;
    cluster.leaders.set(3, moved);
    await cluster.time.until(client.router.request(3, nothing(3)));
    await cluster.time.until(client.router.request(3, nothing(3)));
    expect(sent).toEqual([storageAddress(first), storageAddress(moved), storageAddress(moved)]);
    expect(client.router.leaderOf(3)).toBe(storageAddress(moved));
  });

  it('goes round the replicas, pausing between rounds, until one has been elected', async () => {
    const cluster = new MemoryCluster();
    const client = cluster.client();
    await cluster.time.until(client.routing.ready());
    const sent = watchRequests(cluster);
    cluster.leaders.set(0, undefined);
    const answer = client.router.request(0, nothing(0));
    await cluster.time.advance(1_500_000);
    expect(new Set(sent).size).toBe(3);
    expect(sent.length).toBeLessThan(60);
    cluster.leaders.set(0, STORAGE_NODES[2]);
    await expect(cluster.time.until(answer)).resolves.toMatchObject({ kind: 'read' });
  });

  it('finds the new leader after the old one died with the request', async () => {
    const cluster = new MemoryCluster();
    const client = cluster.client();
    const old = cluster.leaders.get(5)!;
    await cluster.time.until(client.router.request(5, nothing(5)));
    const answer = client.router.request(5, nothing(5));
    cluster.network.kill(storageAddress(old));
    cluster.leaders.set(5, otherThan(old));
    await expect(cluster.time.until(answer, 1_000_000)).resolves.toMatchObject({ kind: 'read' });
  });

  it('is not led round in circles by two nodes that name each other', async () => {
    const cluster = new MemoryCluster();
    const client = cluster.client();
    await cluster.time.until(client.routing.ready());
    const sent = watchRequests(cluster);
    // The node that the others name has lost its place too, and names nobody.
    const answer = client.router.request(1, nothing(1), { timeoutUs: 1_000_000 });
    cluster.leaders.set(1, 'storage-shard-9');
    await expect(cluster.time.until(answer)).rejects.toMatchObject({ kind: 'unavailable' });
    expect(sent.length).toBeLessThan(60);
  });

  it('reports a write as unknown, and a read as unavailable, when no answer came back', async () => {
    const cluster = new MemoryCluster();
    const client = cluster.client();
    await cluster.time.until(client.routing.ready());
    cluster.network.fate = ({ protocol, direction }) =>
      protocol === STORAGE && direction === 'down' ? 'lost' : 'delivered';
    const txn = { id: '0'.repeat(32), anchor: 2 };
    const write = client.router.request(2, {
      kind: 'decide',
      shard: 2,
      txn,
      proposal: { state: 'aborted', attempt: 1 },
      participants: [],
    });
    await expect(cluster.time.until(write)).rejects.toMatchObject({ kind: 'outcome-unknown' });
    await expect(cluster.time.until(client.router.request(2, nothing(2)))).rejects.toMatchObject({
      kind: 'unavailable',
    });
    expect(cluster.shards[2]!.decision(txn)).toEqual({ state: 'aborted', attempt: 1 });
  });

  it('passes on at once what no other node would answer differently', async () => {
    const cluster = new MemoryCluster();
    const client = cluster.client();
    await cluster.time.until(client.routing.ready());
    const sent = watchRequests(cluster);
    jest.spyOn(cluster.shards[4]!, 'handle').mockImplementation(() => {
      throw new SynodError('wrong-shard', 'the key does not belong to shard 4');
    });
    await expect(cluster.time.until(client.router.request(4, nothing(4)))).rejects.toMatchObject({
      kind: 'wrong-shard',
    });
    expect(sent).toHaveLength(1);
  });

  it('gives up when it is closed', async () => {
    const cluster = new MemoryCluster();
    const client = cluster.client();
    await cluster.time.until(client.routing.ready());
    cluster.leaders.set(0, undefined);
    const answer = client.router.request(0, nothing(0));
    await cluster.time.advance(10_000);
    client.close();
    await expect(cluster.time.until(answer, 1_000_000)).rejects.toMatchObject({ kind: 'unavailable' });
  });
});

describe('Routing', () => {
  it('refuses a cluster that hashes keys in another way', async () => {
    const cluster = new MemoryCluster();
    const record = { clusterId: 'memory', shardCount: 8, hash: 'crc16' };
    cluster.coordination.put(clusterKey(), clusterCodec.encode(record));
    const client = cluster.client();
    await expect(cluster.time.until(client.routing.ready())).rejects.toThrow(/crc16.*murmur3/);
  });

  it('knows no shard before the cluster is founded', () => {
    const client = new MemoryCluster().client();
    expect(() => client.routing.shardOf(Buffer.from('k'))).toThrow('not founded yet');
  });
});
