import { shardOf } from '@synod/consistent-hashing';
import { SynodError } from '@synod/runtime';
import { MemoryCluster } from './doubles/memory-cluster';
import { serveMemoryCoordinator } from './doubles/memory-coordinator';
import { OutcomeUnknownError } from './outcome-unknown-error';
import type { SynodClient } from './synod-client';

const COORDINATOR = '/synod.txn.v1.TransactionCoordinator/Exchange';
const T1 = 'txn-coordinator-1:2700';
const T2 = 'txn-coordinator-2:2701';

interface Sent {
  readonly kind: string;
  readonly server: string;
  readonly attempt?: { txn: { id: string; anchor: number }; attempt: number; priority: bigint };
}

function bench() {
  const cluster = new MemoryCluster();
  serveMemoryCoordinator(cluster, 'txn-coordinator-1', T1);
  serveMemoryCoordinator(cluster, 'txn-coordinator-2', T2);
  const client = cluster.client();
  const sent: Sent[] = [];
  /** Replaced by specs: what becomes of messages between client and coordinators. */
  const road = {
    up: (_sent: Sent): 'delivered' | 'lost' | 'broken' => 'delivered',
    down: (): 'delivered' | 'lost' | 'broken' => 'delivered',
  };
  cluster.network.fate = ({ protocol, direction, server, message }) => {
    if (protocol !== COORDINATOR) return 'delivered';
    if (direction === 'down') return road.down();
    const request = { ...(message as { body: Omit<Sent, 'server'> }).body, server };
    sent.push(request);
    return road.up(request);
  };
  return { cluster, client, sent, road };
}

const add = (client: SynodClient, key: string, amount: number): Promise<number> =>
  client.transaction(async (transaction) => {
    const sum = Number((await transaction.get(key))?.toString() ?? 0) + amount;
    transaction.put(key, String(sum));
    return sum;
  });

describe('transaction', () => {
  it('reads its own writes, and nobody sees them before it commits', async () => {
    const { cluster, client } = bench();
    await cluster.time.until(client.kv.put('a', 'old'));
    const seen = client.transaction(async (transaction) => {
      transaction.put('a', 'new');
      transaction.delete('b');
      const outside = await client.kv.get('a');
      return [await transaction.get('a'), await transaction.get('b'), outside].map(String);
    });
    expect(await cluster.time.until(seen)).toEqual(['new', 'undefined', 'old']);
    expect(String(await cluster.time.until(client.kv.get('a')))).toBe('new');
    expect(cluster.quiet).toBe(true);
  });

  it('sends no commit when nothing was written, however much was read', async () => {
    const { cluster, client, sent } = bench();
    const read = client.execute((transaction) => transaction.getMany(['a', 'b', 'c', 'a']));
    expect(await cluster.time.until(read)).toMatchObject({
      value: [undefined, undefined, undefined, undefined],
      attempts: 1,
    });
    expect(sent).toEqual([]);
  });

  it('reads one moment, whatever commits meanwhile', async () => {
    const { cluster, client } = bench();
    await cluster.time.until(Promise.all([client.kv.put('a', '1'), client.kv.put('b', '1')]));
    const read = client.transaction(async (transaction) => {
      const a = await transaction.get('a');
      await client.transaction(async (other) => {
        other.put('a', '2');
        other.put('b', '2');
      });
      return [a, await transaction.get('b')].map(String);
    });
    expect(await cluster.time.until(read)).toEqual(['1', '1']);
  });

  it('runs again on conflict as the next attempt of the same transaction, keeping id, anchor and age', async () => {
    const { cluster, client, sent } = bench();
    let runs = 0;
    const result = client.execute(async (transaction) => {
      const before = Number((await transaction.get('n'))?.toString() ?? 0);
      // The first run is overtaken after it has read, and writes other keys than the second.
      if (++runs === 1) await add(client, 'n', 100);
      transaction.put(runs === 1 ? 'x' : 'y', 'mine');
      transaction.put('n', String(before + 1));
      return before + 1;
    });
    expect(await cluster.time.until(result)).toMatchObject({ value: 101, attempts: 2 });
    const mine = sent.filter(({ kind }) => kind === 'commit').map(({ attempt }) => attempt!);
    const [first, second] = mine.filter(({ txn }) => txn.id === mine.at(-1)!.txn.id);
    expect(second).toMatchObject({ txn: first!.txn, attempt: 2, priority: first!.priority });
    expect(first).toMatchObject({ attempt: 1, txn: { anchor: shardOf(Buffer.from('n'), 8) } });
    expect(String(await cluster.time.until(client.kv.get('x')))).toBe('undefined');
  });

  it('loses no update of 40 clients that add to two counters at once', async () => {
    const { cluster, client } = bench();
    const all = Array.from({ length: 40 }, (_, index) => add(client, index % 2 === 0 ? 'even' : 'odd', 1));
    await cluster.time.until(Promise.all(all));
    const counters = await cluster.time.until(client.kv.getMany(['even', 'odd']));
    expect(counters.map(String)).toEqual(['20', '20']);
  });

  it('gives up with `conflict` after the attempts it was given', async () => {
    const { cluster, client } = bench();
    const work = client.transaction(
      async (transaction) => {
        await transaction.get('n');
        await add(client, 'n', 1);
        transaction.put('n', 'overtaken');
      },
      { maxAttempts: 3 },
    );
    await expect(cluster.time.until(work)).rejects.toMatchObject({
      kind: 'conflict',
      message: expect.stringContaining('3 times') as string,
    });
    expect(String(await cluster.time.until(client.kv.get('n')))).toBe('3');
  });

  it('throws what the function throws, and writes nothing', async () => {
    const { cluster, client, sent } = bench();
    const work = client.transaction(async (transaction) => {
      transaction.put('a', '1');
      throw new RangeError('changed my mind');
    });
    await expect(cluster.time.until(work)).rejects.toThrow(new RangeError('changed my mind'));
    expect(sent).toEqual([]);
  });

  it.each([
    ['an empty key', '', 'x', /key is empty/],
    ['a key that is too long', 'k'.repeat(1_025), 'x', /1025 bytes/],
    ['a value that is too large', 'k', Buffer.alloc((1 << 20) + 1), /1048577 bytes/],
  ])('refuses %s before anything is sent', async (_what, key, value, message) => {
    const { cluster, client, sent } = bench();
    const put = cluster.time.until(client.kv.put(key, value));
    await expect(put).rejects.toMatchObject({
      kind: 'invalid-argument',
      message: expect.stringMatching(message) as string,
    });
    expect(sent).toEqual([]);
  });

  it('refuses a transaction that grew too large', async () => {
    const { cluster, client } = bench();
    const work = client.transaction(async (transaction) => {
      for (let index = 0; index < 9; index++) transaction.put(`k${index}`, Buffer.alloc(1 << 20));
    });
    await expect(cluster.time.until(work)).rejects.toThrow(/at most 8388608/);
  });
});

describe('a lost commit', () => {
  // Rule: unknown is never reported as aborted, and what may have committed is never run again.
  it('is found committed when only the answer was lost, and is not run twice', async () => {
    const { cluster, client, sent, road } = bench();
    let lose = 1;
    road.down = () => (lose-- > 0 ? 'broken' : 'delivered');
    expect(await cluster.time.until(add(client, 'n', 1))).toBe(1);
    expect(sent.map(({ kind }) => kind)).toEqual(['commit', 'outcome']);
    expect(String(await cluster.time.until(client.kv.get('n')))).toBe('1');
  });

  it('is aborted for certain, then run again, when the request was lost', async () => {
    const { cluster, client, sent, road } = bench();
    let lose = 1;
    road.up = () => (lose-- > 0 ? 'broken' : 'delivered');
    expect(await cluster.time.until(add(client, 'n', 1))).toBe(1);
    expect(sent.map(({ kind }) => kind)).toEqual(['commit', 'outcome', 'commit']);
    expect(sent.at(-1)!.attempt!.attempt).toBe(2);
    expect(String(await cluster.time.until(client.kv.get('n')))).toBe('1');
  });

  it('is asked about at another coordinator when its own died', async () => {
    const { cluster, client, sent, road } = bench();
    await cluster.time.until(client.kv.put('warm', 'up'));
    const first = sent[0]!.server;
    road.down = () => {
      cluster.network.kill(first);
      road.down = () => 'delivered';
      return 'lost';
    };
    expect(await cluster.time.until(add(client, 'n', 1))).toBe(1);
    expect(sent.map(({ kind }) => kind).filter((kind) => kind === 'commit')).toHaveLength(2);
    expect(sent.at(-1)).toMatchObject({ kind: 'outcome', server: first === T1 ? T2 : T1 });
  });

  it('is thrown as unknown, with what it takes to ask again, when nobody can tell', async () => {
    const { cluster, client, road } = bench();
    road.down = () => 'lost';
    const work = client.transaction(async (transaction) => transaction.put('n', '1'), { settleUs: 10_000_000 });
    const error = await cluster.time.until(work.catch((caught: unknown) => caught));
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    expect(error).toMatchObject({ kind: 'outcome-unknown', attempt: 1 });
    road.down = () => 'delivered';
    const { txn, attempt } = error as OutcomeUnknownError;
    const { outcome } = await cluster.time.until(client.outcome(txn, attempt));
    expect(outcome).toMatchObject({ state: 'committed', attempt: 1 });
  });

  it('did not start when no coordinator could be reached: an ordinary failure', async () => {
    const { cluster, client, sent } = bench();
    cluster.network.kill(T1);
    cluster.network.kill(T2);
    const put = client.transaction(async (transaction) => transaction.put('n', '1'), {
      timeoutUs: 2_000_000,
      settleUs: 1_000_000,
    });
    const error = await cluster.time.until(put.catch((caught: unknown) => caught));
    // The first message waited in a queue for a connection that never came: that cannot be told from one that was delivered.
    expect(error).toBeInstanceOf(SynodError);
    expect(['unavailable', 'outcome-unknown']).toContain((error as SynodError).kind);
    expect(sent.length).toBeGreaterThan(0);
  });
});
