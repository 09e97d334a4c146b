import {
  formatHandle,
  MemoryCluster,
  ORACLE_NODES,
  OutcomeUnknownError,
  type MessageFate,
  type SynodClient,
} from '@synod/client';
import { shardOf } from '@synod/consistent-hashing';
import { nodeCodec, nodeKey } from '@synod/coordination';
import {
  coordinatorProtocol,
  RequestStream,
  type CoordinatorRequest,
  type CoordinatorResponse,
  type Numbered,
  type StorageRequest,
} from '@synod/protocols';
import { noProbes } from '@synod/runtime';
import { CoordinatorNode } from './node';
import type { CoordinatorOptions } from './options';

const STORAGE = '/synod.storage.v1.Storage/Exchange';
const COORDINATOR = '/synod.txn.v1.TransactionCoordinator/Exchange';
const SHARDS = 8;

/** A key of its own for each shard. */
const keyAt = (shard: number): string => {
  for (let index = 0; ; index++) if (shardOf(Buffer.from(`k${index}`), SHARDS) === shard) return `k${index}`;
};
/** Keys in order of their names, with the shards they are on: the first is the anchor's. */
const [[first, firstKey], [second, secondKey]] = [0, 1]
  .map((shard) => [shard, keyAt(shard)] as const)
  .sort(([, a], [, b]) => (a < b ? -1 : 1)) as unknown as [[number, string], [number, string]];

type Road = (asked: StorageRequest, direction: 'up' | 'down') => MessageFate;

function bench(count = 2, options: Partial<CoordinatorOptions> = {}) {
  const cluster = new MemoryCluster(SHARDS);
  const nodes = Array.from({ length: count }, (_, index) => {
    const nodeId = `txn-coordinator-${index + 1}`;
    const { log, ...ports } = cluster.ports(`${nodeId}:2700`);
    const node = new CoordinatorNode({
      identity: { nodeId, incarnation: `of-${nodeId}`, address: `${nodeId}:2700` },
      ports: { ...ports, log, probes: noProbes, coordination: cluster.coordination },
      oracle: ORACLE_NODES,
      options,
      fault: (error) => {
        throw error;
      },
    });
    node.start();
    return node;
  });
  const client = cluster.client();
  /** Storage requests sent, and what becomes of them and of their answers; specs replace it. */
  const asked: StorageRequest[] = [];
  const state: { road: Road; coordinatorRoad: (direction: 'up' | 'down') => MessageFate } = {
    road: () => 'delivered',
    coordinatorRoad: () => 'delivered',
  };
  const byId = new Map<string, StorageRequest>();
  cluster.network.fate = ({ protocol, direction, server, message }) => {
    if (protocol === COORDINATOR) return state.coordinatorRoad(direction);
    if (protocol !== STORAGE) return 'delivered';
    const { id, body } = message as Numbered<StorageRequest>;
    // Ids are counted per connection: good enough to pair, since the specs lose answers of one coordinator only.
    if (direction === 'up') {
      byId.set(`${server}/${id}`, body);
      if (body.kind !== 'read') asked.push(body);
      return state.road(body, 'up');
    }
    const request = byId.get(`${server}/${id}`);
    return request === undefined ? 'delivered' : state.road(request, 'down');
  };
  return { cluster, nodes, client, asked, state };
}

/** Loses the first message for which `when` holds. */
function loseOnce(
  fate: MessageFate,
  when: Road extends (...args: infer A) => unknown ? (...args: A) => boolean : never,
): Road {
  let lost = false;
  return (request, direction) => {
    if (lost || !when(request, direction)) return 'delivered';
    lost = true;
    return fate;
  };
}

const transfer = (client: SynodClient): Promise<number> =>
  client.transaction(async (transaction) => {
    const from = Number((await transaction.get(firstKey))?.toString() ?? 100);
    const to = Number((await transaction.get(secondKey))?.toString() ?? 100);
    transaction.put(firstKey, String(from - 1));
    transaction.put(secondKey, String(to + 1));
    return from - 1;
  });

async function balances({ cluster, client }: ReturnType<typeof bench>): Promise<string[]> {
  return (await cluster.time.until(client.kv.getMany([firstKey, secondKey]))).map(String);
}

describe('commit', () => {
  it('takes one round when the anchor shard holds every key', async () => {
    const { cluster, client, asked } = bench();
    await cluster.time.until(client.kv.put(firstKey, 'v'));
    expect(asked.map(({ kind }) => kind)).toContain('commit-one-phase');
    expect(asked.map(({ kind }) => kind)).not.toContain('prepare');
    await cluster.time.advance(1_000_000);
    expect(cluster.quiet).toBe(true);
  });

  it('prepares everywhere, decides at the anchor, answers, then resolves', async () => {
    const all = bench();
    const { cluster, client, asked } = all;
    expect(await cluster.time.until(transfer(client))).toBe(99);
    await cluster.time.advance(1_000_000);
    expect(asked.map(({ kind, shard }) => `${kind} ${shard}`)).toEqual([
      `prepare ${first}`,
      `prepare ${second}`,
      `decide ${first}`,
      `resolve ${first}`,
      `resolve ${second}`,
    ]);
    const decide = asked.find((request) => request.kind === 'decide');
    expect(decide).toMatchObject({ participants: [first, second], proposal: { state: 'committed', attempt: 1 } });
    expect(cluster.quiet).toBe(true);
    expect(await balances(all)).toEqual(['99', '101']);
  });

  it('answers before phase 2, which goes on until every shard has heard of it', async () => {
    const all = bench();
    const { cluster, client, state, nodes } = all;
    let blocked = true;
    state.road = (request, direction) =>
      blocked && request.kind === 'resolve' && direction === 'up' ? 'lost' : 'delivered';
    expect(await cluster.time.until(transfer(client))).toBe(99);
    expect(cluster.quiet).toBe(false);
    expect(nodes.map(({ load }) => load.commits).sort()).toEqual([0, 1]);
    blocked = false;
    await cluster.time.advance(5_000_000);
    expect(cluster.quiet).toBe(true);
    expect(nodes.map(({ load }) => load.commits)).toEqual([0, 0]);
  });

  it('keeps the sum of all accounts over many transfers at once', async () => {
    const all = bench();
    const { cluster, client } = all;
    await cluster.time.until(Promise.all(Array.from({ length: 30 }, () => transfer(client))));
    expect(await balances(all)).toEqual(['70', '130']);
    await cluster.time.advance(5_000_000);
    expect(cluster.quiet).toBe(true);
  });
});

// Each message of the protocol lost once, on the way there or back, noticed at once or by time-out: the transfer happens exactly once.
describe.each(['lost', 'broken'] as const)('when a message is %s', (fate) => {
  it.each([
    ['prepare', 'up'],
    ['prepare', 'down'],
    ['decide', 'up'],
    ['decide', 'down'],
    ['resolve', 'up'],
    ['resolve', 'down'],
  ] as const)('%s, on its way %s, the transfer still happens exactly once', async (kind, way) => {
    const all = bench();
    const { cluster, client, state } = all;
    state.road = loseOnce(fate, (request, direction) => request.kind === kind && direction === way);
    expect(await cluster.time.until(transfer(client))).toBe(99);
    await cluster.time.advance(10_000_000);
    expect(await balances(all)).toEqual(['99', '101']);
    expect(cluster.quiet).toBe(true);
  });

  it.each(['up', 'down'] as const)(
    'commit-one-phase, on its way %s, the write still happens exactly once',
    async (way) => {
      const { cluster, client, state } = bench();
      state.road = loseOnce(fate, (request, direction) => request.kind === 'commit-one-phase' && direction === way);
      const counted = client.transaction(async (transaction) => {
        transaction.put(firstKey, String(Number((await transaction.get(firstKey))?.toString() ?? 0) + 1));
      });
      await cluster.time.until(counted);
      expect(String(await cluster.time.until(client.kv.get(firstKey)))).toBe('1');
    },
  );

  it.each(['up', 'down'] as const)(
    'between client and coordinator, on its way %s, the transfer happens exactly once',
    async (way) => {
      const all = bench();
      const { cluster, client, state } = all;
      await cluster.time.until(client.routing.ready());
      let lost = false;
      state.coordinatorRoad = (direction) => {
        if (lost || direction !== way) return 'delivered';
        lost = true;
        return fate;
      };
      expect(await cluster.time.until(transfer(client))).toBe(99);
      expect(await balances(all)).toEqual(['99', '101']);
    },
  );
});

describe('when one message in twenty is lost', () => {
  const seeds = Array.from({ length: 8 }, (_, index) => index + 1);

  it.each(seeds)(
    'every increment happens exactly once, or certainly not at all (seed %i)',
    async (seed) => {
      const all = bench();
      const { cluster, client, state } = all;
      let drawn = seed;
      const draw = (bound: number): number => (drawn = (drawn * 48_271) % 0x7fff_ffff) % bound;
      const road = (): MessageFate => (draw(20) > 0 ? 'delivered' : draw(2) === 0 ? 'lost' : 'broken');
      state.road = road;
      state.coordinatorRoad = road;
      let done = 0;
      const increment = async (): Promise<void> => {
        const keys = [firstKey, secondKey, keyAt(2 + draw(3))];
        try {
          await client.transaction(
            async (transaction) => {
              const values = await transaction.getMany(keys);
              keys.forEach((key, index) => transaction.put(key, String(Number(values[index]?.toString() ?? 0) + 1)));
            },
            { timeoutUs: 120_000_000, settleUs: 120_000_000 },
          );
          done++;
        } catch (error) {
          // A certain no is an answer too; anything else fails the test.
          expect(['unavailable', 'conflict']).toContain((error as { kind?: string }).kind);
        }
      };
      await cluster.time.until(Promise.all(Array.from({ length: 6 }, increment)), 300_000_000);
      state.road = () => 'delivered';
      state.coordinatorRoad = () => 'delivered';
      await cluster.time.advance(30_000_000);
      expect(await balances(all)).toEqual([String(done), String(done)]);
      expect(done).toBeGreaterThan(3);
    },
    60_000,
  );
});

describe('a shard that cannot be reached', () => {
  it('aborts the transaction for certain when it has not voted', async () => {
    const all = bench();
    const { cluster, client, state, asked } = all;
    state.road = (request) => (request.kind === 'prepare' && request.shard === second ? 'lost' : 'delivered');
    const work = client.transaction(
      async (transaction) => {
        transaction.put(firstKey, 'x');
        transaction.put(secondKey, 'y');
      },
      { maxAttempts: 1 },
    );
    await expect(cluster.time.until(work)).rejects.toMatchObject({ kind: 'unavailable' });
    expect(asked.find((request) => request.kind === 'decide')).toMatchObject({
      proposal: { state: 'aborted', attempt: 1 },
    });
    state.road = () => 'delivered';
    expect(await balances(all)).toEqual(['undefined', 'undefined']);
  });

  // Rule: unknown is never reported as aborted; the record alone decides.
  it('leaves the outcome unknown when it is the anchor and does not say what it decided', async () => {
    const all = bench();
    const { cluster, client, state } = all;
    state.road = ({ kind, shard }, direction) =>
      shard === first && (kind === 'status' || (kind === 'decide' && direction === 'down')) ? 'lost' : 'delivered';
    const work = client
      .transaction(
        async (transaction) => {
          transaction.put(firstKey, 'x');
          transaction.put(secondKey, 'y');
        },
        { maxAttempts: 1, settleUs: 8_000_000 },
      )
      .catch((error: unknown) => error);
    const error = await cluster.time.until(work);
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    state.road = () => 'delivered';
    const { txn, attempt } = error as OutcomeUnknownError;
    const { outcome } = await cluster.time.until(client.outcome(txn, attempt));
    expect(outcome).toMatchObject({ state: 'committed', attempt: 1 });
    // The other shard stays in doubt: its coordinator gave up, so the next who meets the intent asks the record and finishes the work.
    expect(String(await cluster.time.until(client.kv.get(firstKey)))).toBe('x');
    expect(cluster.quiet).toBe(false);
  });
});

describe('outcome', () => {
  it('decides "aborted" when nothing was decided, and a commit that comes later loses', async () => {
    const all = bench(1);
    const { cluster, client } = all;
    await cluster.time.until(client.routing.ready());
    const txn = { id: 'ab'.repeat(16), anchor: first };
    const { outcome } = await cluster.time.until(client.outcome(txn, 1));
    expect(outcome).toEqual({ state: 'aborted', attempt: 1 });
    const writes = [
      { key: Buffer.from(firstKey), value: Buffer.from('x') },
      { key: Buffer.from(secondKey), value: Buffer.from('y') },
    ];
    const late = await cluster.time.until(
      ask(all, { kind: 'commit', attempt: { txn, attempt: 1, priority: 1n }, reads: [], writes }),
    );
    expect(late).toMatchObject({ kind: 'outcome', outcome: { state: 'aborted', attempt: 1 } });
    await cluster.time.advance(5_000_000);
    expect(await balances(all)).toEqual(['undefined', 'undefined']);
    expect(cluster.quiet).toBe(true);
  });

  it('of a commit that is in progress here waits for it, rather than abort it', async () => {
    const all = bench(1);
    const { cluster } = all;
    const attempt = { txn: { id: 'cd'.repeat(16), anchor: first }, attempt: 1, priority: 1n };
    const writes = [
      { key: Buffer.from(firstKey), value: Buffer.from('x') },
      { key: Buffer.from(secondKey), value: Buffer.from('y') },
    ];
    await cluster.time.until(all.client.routing.ready());
    const answers = Promise.all([
      ask(all, { kind: 'commit', attempt, reads: [], writes }),
      ask(all, { kind: 'commit', attempt, reads: [], writes }),
      ask(all, { kind: 'outcome', txn: attempt.txn, attempt: 1 }),
    ]);
    const [commit, repeat, outcome] = await cluster.time.until(answers);
    expect(commit).toMatchObject({ outcome: { state: 'committed', attempt: 1 } });
    expect([repeat, outcome]).toEqual([commit, commit]);
    expect(all.asked.filter(({ kind }) => kind === 'prepare')).toHaveLength(2);
    // And a repeat after all is over gets the same answer from the record.
    await cluster.time.advance(2_000_000);
    expect(await cluster.time.until(ask(all, { kind: 'commit', attempt, reads: [], writes }))).toEqual(commit);
  });

  it('of a transaction whose coordinator died can be had from another one', async () => {
    const all = bench();
    const { cluster, client, state } = all;
    await cluster.time.until(client.routing.ready());
    let victim: string | undefined;
    state.road = ({ kind }, direction) => {
      // The decision is logged; whoever asked for it does not live to hear so.
      if (kind !== 'decide' || direction !== 'down' || victim !== undefined) return 'delivered';
      victim =
        all.nodes.find(({ load }) => load.commits > 0) === all.nodes[0] ? 'txn-coordinator-1' : 'txn-coordinator-2';
      cluster.network.kill(`${victim}:2700`);
      return 'lost';
    };
    expect(await cluster.time.until(transfer(client))).toBe(99);
    expect(victim).toBeDefined();
  });
});

describe('a coordinator', () => {
  it('registers once the cluster is founded, and takes itself off the list when it drains', async () => {
    const { cluster, nodes } = bench(1);
    const [node] = nodes as [CoordinatorNode];
    expect(node.obstacle()).toBe('the cluster is not founded yet');
    await cluster.time.settle();
    expect(node.obstacle()).toBeUndefined();
    const key = nodeKey('txn-coordinator', 'txn-coordinator-1');
    expect(nodeCodec.decode(cluster.coordination.get(key)!)).toMatchObject({ address: 'txn-coordinator-1:2700' });
    await cluster.time.until(node.drain(1_000_000));
    expect(cluster.coordination.get(key)).toBeUndefined();
    await node.stop();
  });

  it('gives out read timestamps above everything acknowledged before', async () => {
    const all = bench(1);
    await all.cluster.time.until(all.client.routing.ready());
    const before = all.cluster.nextTs();
    const begun = await all.cluster.time.until(ask(all, { kind: 'begin' }));
    expect(begun.kind === 'begun' && begun.readTs > before).toBe(true);
  });

  it.each([
    ['no writes', { writes: [] }, /writes are empty/],
    ['an empty key', { writes: [{ key: Buffer.alloc(0), value: undefined }] }, /key of writes is empty/],
    ['a key twice', { writes: [write('a'), write('a')] }, /twice/],
    [
      'a value that is too large',
      { writes: [{ key: Buffer.from('a'), value: Buffer.alloc((1 << 20) + 1) }] },
      /1048577 bytes/,
    ],
    ['an id that is not hex', { txn: { id: 'nope', anchor: 0 } }, /32 lower-case hex/],
    ['an anchor that does not exist', { txn: { id: '0'.repeat(32), anchor: SHARDS } }, /anchor is 8/],
    ['attempt 0', { attempt: 0 }, /count from 1/],
  ])('refuses a commit with %s', async (_what, change, message) => {
    const all = bench(1);
    await all.cluster.time.until(all.client.routing.ready());
    const { txn, attempt, writes } = {
      txn: { id: '0'.repeat(32), anchor: 0 },
      attempt: 1,
      writes: [write('a')],
      ...(change as object),
    };
    const request = ask(all, { kind: 'commit', attempt: { txn, attempt, priority: 1n }, reads: [], writes });
    await expect(all.cluster.time.until(request)).rejects.toMatchObject({
      kind: 'invalid-argument',
      message: expect.stringMatching(message) as string,
    });
    expect(all.asked).toEqual([]);
  });

  it('refuses more commits than it may have open', async () => {
    const all = bench(1, { commitsMax: 1 });
    const { cluster, state } = all;
    await cluster.time.until(all.client.routing.ready());
    state.road = () => 'lost';
    const commit = (id: string): Promise<unknown> =>
      ask(all, {
        kind: 'commit',
        attempt: { txn: { id: id.repeat(32), anchor: first }, attempt: 1, priority: 1n },
        reads: [],
        writes: [write(firstKey)],
      });
    void commit('a').catch(() => undefined);
    await expect(cluster.time.until(commit('b'))).rejects.toMatchObject({ kind: 'overloaded' });
  });
});

describe('a thin client', () => {
  async function begun(options: Partial<CoordinatorOptions> = {}) {
    const all = bench(2, options);
    const [node] = all.nodes as [CoordinatorNode, CoordinatorNode];
    await all.cluster.time.settle();
    const { name } = await all.cluster.time.until(node.thin.begin());
    return { ...all, node, name, thin: node.thin };
  }
  const key = Buffer.from(firstKey);

  it('begins, reads its own writes, commits, and hears the same again', async () => {
    const { cluster, thin, name, client } = await begun();
    expect(await cluster.time.until(thin.get(name, key))).toBeUndefined();
    thin.put(name, key, Buffer.from('v'));
    thin.put(name, Buffer.from(secondKey), Buffer.from('w'));
    expect(String(await cluster.time.until(thin.get(name, key)))).toBe('v');
    const commit = await cluster.time.until(thin.commit(name));
    expect(commit.txn?.anchor).toBe(first);
    expect(await cluster.time.until(thin.commit(name))).toEqual(commit);
    expect(String(await cluster.time.until(client.kv.get(firstKey)))).toBe('v');
    expect(() => thin.put(name, key, Buffer.from('late'))).toThrow(/has been committed/);
    const outcome = await cluster.time.until(thin.outcome(formatHandle(commit.txn!), 1));
    expect(outcome.outcome).toMatchObject({ state: 'committed', commitTs: commit.commitTs });
  });

  it('is told of a conflict, with nothing written', async () => {
    const { cluster, thin, name, client } = await begun();
    await cluster.time.until(thin.get(name, key));
    await cluster.time.until(client.kv.put(firstKey, 'theirs'));
    thin.put(name, key, Buffer.from('mine'));
    await expect(cluster.time.until(thin.commit(name))).rejects.toMatchObject({ kind: 'conflict' });
    expect(String(await cluster.time.until(client.kv.get(firstKey)))).toBe('theirs');
  });

  it('commits without a handle when it only read, and can roll back', async () => {
    const { cluster, thin, name } = await begun();
    await cluster.time.until(thin.get(name, key));
    expect((await cluster.time.until(thin.commit(name))).txn).toBeUndefined();
    const other = await cluster.time.until(thin.begin());
    thin.put(other.name, key, Buffer.from('v'));
    thin.rollback(other.name);
    expect(() => thin.put(other.name, key, Buffer.from('v'))).toThrow(/not open here/);
  });

  it('finds out by asking again what an unknown commit became', async () => {
    const { cluster, thin, name, state } = await begun();
    thin.put(name, key, Buffer.from('v'));
    thin.put(name, Buffer.from(secondKey), Buffer.from('w'));
    state.road = ({ kind }, direction) => (kind === 'decide' && direction === 'down' ? 'lost' : 'delivered');
    await expect(cluster.time.until(thin.commit(name))).rejects.toMatchObject({
      kind: 'outcome-unknown',
      message: expect.stringMatching(/outcome of [0-9a-f]{32}@\d+/) as string,
    });
    state.road = () => 'delivered';
    await cluster.time.advance(20_000_000);
    expect((await cluster.time.until(thin.commit(name))).commitTs).toBeGreaterThan(0n);
  });

  it('is sent to the coordinator that began its transaction', async () => {
    const { nodes, name } = await begun();
    expect(() => nodes[1]!.thin.put(name, key, Buffer.from('v'))).toThrow(
      expect.objectContaining({ kind: 'not-leader', details: { hint: 'txn-coordinator-1:2700' } }) as Error,
    );
    expect(() => nodes[1]!.thin.rollback('gone/'.padEnd(37, '0'))).toThrow(
      /gone, which began this transaction, is not running/,
    );
    expect(() => nodes[1]!.thin.rollback('what')).toThrow(/is not what Begin returned/);
  });

  it('loses a transaction that it left alone for a minute', async () => {
    const { cluster, thin, name } = await begun();
    await cluster.time.advance(50_000_000);
    thin.put(name, key, Buffer.from('v'));
    await cluster.time.advance(50_000_000);
    thin.put(name, key, Buffer.from('v'));
    await cluster.time.advance(80_000_000);
    expect(() => thin.put(name, key, Buffer.from('v'))).toThrow(/had no call for 60 s/);
    expect(thin.size).toBe(0);
  });

  it('is refused when too many are open', async () => {
    const { cluster, thin } = await begun({ sessionsMax: 1 });
    await expect(cluster.time.until(thin.begin())).rejects.toMatchObject({ kind: 'overloaded' });
  });
});

function write(key: string): { key: Buffer; value: Buffer } {
  return { key: Buffer.from(key), value: Buffer.from('v') };
}

/** One request to the first coordinator. */
function ask(
  { cluster }: ReturnType<typeof bench>,
  request: CoordinatorRequest,
): Promise<Exclude<CoordinatorResponse, { kind: 'error' }>> {
  const stream = new RequestStream<CoordinatorRequest, CoordinatorResponse>(
    cluster.ports('asker:0'),
    coordinatorProtocol(),
    'txn-coordinator-1:2700',
  );
  return stream.request(request, { timeoutUs: 30_000_000 });
}
