import fc from 'fast-check';
import { MemoryCluster } from './doubles/memory-cluster';
import { serveMemoryCoordinator } from './doubles/memory-coordinator';

function bench(shardCount = 8) {
  const cluster = new MemoryCluster(shardCount);
  serveMemoryCoordinator(cluster, 'txn-coordinator-1', 'txn-coordinator-1:2700');
  return { cluster, client: cluster.client() };
}

const text = (rows: readonly { key: Buffer }[]): string[] => rows.map(({ key }) => key.toString());

describe('KeyValueClient', () => {
  it('puts, gets and deletes', async () => {
    const { cluster, client } = bench();
    const { kv } = client;
    expect(await cluster.time.until(kv.get('k'))).toBeUndefined();
    await cluster.time.until(kv.put('k', Buffer.from([0, 255])));
    expect(await cluster.time.until(kv.get('k'))).toEqual(Buffer.from([0, 255]));
    await cluster.time.until(kv.delete('k'));
    await cluster.time.until(kv.delete('never was'));
    expect(await cluster.time.until(kv.get('k'))).toBeUndefined();
  });

  it('scans a prefix over all shards in byte order, page by page from one snapshot', async () => {
    const { cluster, client } = bench();
    const names = Array.from({ length: 100 }, (_, index) => `user/${String(index).padStart(3, '0')}`);
    await cluster.time.until(Promise.all(['uses', 'user', ...names].map((name) => client.kv.put(name, name))));
    const first = await cluster.time.until(client.kv.scan({ prefix: 'user/', limit: 30 }));
    expect(text(first.rows)).toEqual(names.slice(0, 30));
    expect(first.more).toBe(true);

    await cluster.time.until(client.kv.put('user/030a', 'too late for this snapshot'));
    const { readTs } = first;
    const rest = await cluster.time.until(client.kv.scan({ prefix: 'user/', after: 'user/029', limit: 70, readTs }));
    expect(text(rest.rows)).toEqual(names.slice(30));
    expect(rest.more).toBe(false);

    const all: string[] = [];
    const walk = async (): Promise<void> => {
      for await (const row of client.kv.rows({ prefix: 'user/', pageRows: 7 })) all.push(row.key.toString());
    };
    await cluster.time.until(walk());
    expect(all).toEqual([...names.slice(0, 30), 'user/030', 'user/030a', ...names.slice(31)]);
  });

  it('agrees with a sorted list on any range, limit and content', async () => {
    const key = fc.string({ minLength: 1, maxLength: 3, unit: fc.constantFrom('a', 'b', '\xff', '{', '}') });
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(key, { maxLength: 30 }),
        key,
        key,
        fc.integer({ min: 1, max: 8 }),
        async (keys, start, end, limit) => {
          const { cluster, client } = bench(4);
          const bytes = (name: string): Buffer => Buffer.from(name, 'latin1');
          await cluster.time.until(Promise.all(keys.map((name) => client.kv.put(bytes(name), name))));
          const expected = keys
            .filter((name) => name >= start && name < end)
            .sort((a, b) => bytes(a).compare(bytes(b)));
          const page = await cluster.time.until(client.kv.scan({ start: bytes(start), end: bytes(end), limit }));
          expect(page.rows.map((row) => row.key.toString('latin1'))).toEqual(expected.slice(0, limit));
          expect(page.more).toBe(expected.length > limit);
        },
      ),
      { numRuns: 30 },
    );
  });

  it('waits until a shard that is electing has a leader again', async () => {
    const { cluster, client } = bench();
    await cluster.time.until(client.kv.put('k', 'v'));
    const shard = client.routing.shardOf(Buffer.from('k'));
    const leader = cluster.leaders.get(shard);
    cluster.leaders.set(shard, undefined);
    const value = client.kv.get('k');
    await cluster.time.advance(2_000_000);
    cluster.leaders.set(shard, leader);
    expect(String(await cluster.time.until(value))).toBe('v');
  });

  it.each([{ prefix: 'a', start: 'b' }, { limit: 0 }, { limit: 10_001 }])('refuses the scan %j', async (options) => {
    const { client } = bench();
    await expect(client.kv.scan(options)).rejects.toMatchObject({ kind: 'invalid-argument' });
  });
});

it('tells who leads each shard, and which shard does not answer', async () => {
  const { cluster, client } = bench(4);
  cluster.leaders.set(2, undefined);
  const status = await cluster.time.until(client.status());
  expect(status.shards.map(({ leader }) => leader)).toEqual([0, 1, 2, 3].map((shard) => cluster.leaders.get(shard)));
  expect(status.shards.every(({ replicas }) => replicas.length === 3)).toBe(true);
  expect(status.nodes.filter(({ service }) => service === 'storage-shard')).toHaveLength(3);
});
