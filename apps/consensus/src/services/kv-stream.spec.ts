import { serviceDefinition, type consensusV1 } from '@synod/contracts';
import { StatusError, status, type CallContext, type ServiceHandlers } from '@synod/rpc';
import type { ConsensusNode } from '../node';
import { ClusterBench } from '../testing/cluster-bench';
import { kvService } from './kv';
import { kvStreamService } from './kv-stream';
import { ServedMember } from './member';
import { putEach, putTogether, type PutAll } from './put-all';

type Kv = Required<ServiceHandlers<'etcdserverpb.KV'>>;

const EXCHANGE = serviceDefinition('synod.consensus.v1.KvStream').Exchange;
const bytes = (text: string): Buffer => Buffer.from(text);
/** @param putAll each put by itself unless said otherwise */
const streamOf = (kv: Partial<Kv>, putAll?: PutAll): ReturnType<typeof kvStreamService> =>
  kvStreamService(kv as Kv, putAll ?? putEach((put, context) => (kv as Kv).Put(put, context)));
const put = (id: number, key: string, value = 'v'): consensusV1.KvRequest => ({
  id,
  put: { key: bytes(key), value: bytes(value) },
});

/** A stream whose client is this spec: what it sends and is sent has been bytes in between. */
class StreamBench {
  readonly messages: consensusV1.KvStreamExchangeResponse__Output[] = [];
  readonly metadata = new Map<string, string>();
  readonly context = { aborted: false, metadata: (key: string) => this.metadata.get(key) };
  /** Whether the queue to the client takes anything. */
  reads = true;
  private readonly sent: Buffer[] = [];
  private readonly resume: (() => void)[] = [];
  private over = false;
  private wake = (): void => undefined;
  readonly served: Promise<void>;

  constructor(kv: Partial<Kv>, { Exchange } = streamOf(kv)) {
    const writer = {
      send: (message: consensusV1.KvStreamExchangeResponse): boolean => {
        if (!this.reads) return false;
        this.messages.push(EXCHANGE.responseDeserialize(EXCHANGE.responseSerialize(message)));
        return true;
      },
      drained: () => new Promise<void>((resolve) => this.resume.push(resolve)),
    };
    this.served =
      Exchange?.(this.batches(), writer, this.context as unknown as CallContext) ??
      Promise.reject(new Error('not served'));
  }

  send(...requests: consensusV1.KvRequest[]): this {
    this.sent.push(EXCHANGE.requestSerialize({ requests }));
    this.wake();
    return this;
  }

  end(): Promise<void> {
    this.over = true;
    this.wake();
    return this.served;
  }

  readOn(): void {
    this.reads = true;
    for (const resolve of this.resume.splice(0)) resolve();
  }

  get answers(): consensusV1.KvResponse__Output[] {
    return this.messages.flatMap(({ responses }) => responses);
  }

  private async *batches(): AsyncGenerator<consensusV1.KvStreamExchangeRequest__Output> {
    for (;;) {
      const batch = this.sent.shift();
      if (batch !== undefined) yield EXCHANGE.requestDeserialize(batch);
      else if (this.over) return;
      else await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }
}

const turns = async (count = 3): Promise<void> => {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
};

interface Served {
  readonly cluster: ClusterBench;
  readonly kv: Kv;
  readonly service: ReturnType<typeof streamOf>;
}

/** A member with a real state behind it, that leads unless another one does. */
async function member(leader = 'n1'): Promise<Served> {
  const cluster = new ClusterBench(['n1', 'n2']);
  await cluster.lead(leader);
  const node = { host: cluster.host, founding: { clusterId: 'c' }, members: [] } as unknown as ConsensusNode;
  const served = new ServedMember(node);
  const kv = kvService(served);
  return { cluster, kv, service: streamOf(kv, putTogether(served, kv.Put)) };
}

it('answers by number, as the calls do', async () => {
  const { cluster, kv, service } = await member();
  const stream = new StreamBench(kv, service).send(put(7, 'a', '1'), put(3, 'b', '2'));
  while (stream.answers.length < 2) await cluster.time.settle();
  expect(stream.answers).toMatchObject([
    { id: 7, outcome: 'put', put: { header: { revision: '2' } } },
    { id: 3, outcome: 'put', put: { header: { revision: '3' } } },
  ]);
  stream.send(
    { id: 1, range: { key: bytes('a') } },
    { id: 2, txn: { success: [{ requestRange: { key: bytes('b') } }] } },
    { id: 4, deleteRange: { key: bytes('nobody') } },
  );
  await cluster.time.until(stream.end());
  const byId = new Map(stream.answers.map((answer) => [answer.id, answer]));
  expect(byId.get(1)?.range?.kvs[0]?.value).toEqual(bytes('1'));
  expect(byId.get(2)?.txn?.responses[0]?.responseRange?.kvs[0]?.value).toEqual(bytes('2'));
  expect(byId.get(4)?.deleteRange).toMatchObject({ deleted: '0', header: { revision: '3' } });
});

it("refuses single requests in etcd's words, and goes on", async () => {
  const { cluster, kv, service } = await member();
  const stream = new StreamBench(kv, service).send(
    put(1, ''),
    put(2, 'a', 'x'.repeat(2_000_000)),
    { id: 3, range: { key: bytes('a'), revision: '99' } },
    { id: 4 },
    put(5, 'a'),
  );
  await cluster.time.until(stream.end());
  const byId = new Map(stream.answers.map((answer) => [answer.id, answer]));
  expect(byId.get(1)?.error).toEqual({
    code: status.INVALID_ARGUMENT,
    message: 'etcdserver: key is not provided',
    kind: 'invalid-argument',
  });
  expect(byId.get(2)?.error).toMatchObject({ code: 3, message: 'etcdserver: request is too large' });
  expect(byId.get(3)?.error).toMatchObject({
    code: status.OUT_OF_RANGE,
    message: 'etcdserver: mvcc: required revision is a future revision',
  });
  expect(byId.get(4)?.error).toMatchObject({ code: status.UNIMPLEMENTED, kind: 'unimplemented' });
  expect(byId.get(5)?.outcome).toBe('put');
});

it('answers at once where every put of a message is refused', async () => {
  const { cluster, kv, service } = await member();
  const stream = new StreamBench(kv, service).send(put(1, ''), put(2, ''));
  await cluster.time.until(stream.end());
  const said = stream.answers.map(({ id, error }) => [id, error?.message]);
  expect(said).toEqual([
    [1, 'etcdserver: key is not provided'],
    [2, 'etcdserver: key is not provided'],
  ]);
});

it('judges each request as that of the user whose token the stream carries', async () => {
  const { cluster, kv, service } = await member();
  for (const command of [
    { kind: 'user-add', user: 'root', passwordHash: 'h' },
    { kind: 'user-grant-role', user: 'root', role: 'root' },
    { kind: 'auth-enable' },
  ] as const)
    await cluster.time.until(cluster.host.administer(command, 'client'));
  const stranger = new StreamBench(kv, service).send(put(1, 'a'), { id: 2, range: { key: bytes('a') } });
  await cluster.time.until(stranger.end());
  expect(stranger.answers.map(({ error }) => error?.message)).toEqual([
    'etcdserver: user name is empty',
    'etcdserver: user name is empty',
  ]);
  const forger = new StreamBench(kv, service);
  forger.metadata.set('token', 'forged.1');
  await cluster.time.until(forger.send(put(1, 'a')).end());
  expect(forger.answers[0]?.error).toMatchObject({
    code: status.UNAUTHENTICATED,
    message: 'etcdserver: invalid auth token',
    kind: 'permission-denied',
  });
});

it('tells that a write may have been done when nobody knows, and of a read only that it has no answer', async () => {
  const timedOut = (): never => {
    throw new StatusError(status.UNAVAILABLE, 'etcdserver: request timed out');
  };
  const stream = new StreamBench({ Put: timedOut, Range: timedOut }).send(put(1, 'a'), {
    id: 2,
    range: { key: bytes('a') },
  });
  await stream.end();
  const byId = new Map(stream.answers.map(({ id, error }) => [id, error?.kind]));
  expect(byId).toEqual(
    new Map([
      [1, 'outcome-unknown'],
      [2, 'unavailable'],
    ]),
  );
});

it('tells each put of a message when nobody knows what became of them, and does none of them again', async () => {
  const { cluster, kv, service } = await member();
  cluster.member('n1').group.loseNextAnswer = true;
  const stream = new StreamBench(kv, service).send(put(1, 'a'), put(2, ''), put(3, 'b'));
  await cluster.time.until(stream.end());
  const byId = new Map(stream.answers.map(({ id, error }) => [id, error?.kind]));
  expect(byId).toEqual(
    new Map([
      [1, 'outcome-unknown'],
      [2, 'invalid-argument'],
      [3, 'outcome-unknown'],
    ]),
  );
  expect(cluster.logLength).toBe(2);
});

it('brings the puts of a message to the leader, whichever member that is', async () => {
  const { cluster, kv, service } = await member('n2');
  const stream = new StreamBench(kv, service).send(put(1, 'a'), put(2, ''), put(3, 'b'));
  await cluster.time.until(stream.end());
  const byId = new Map(stream.answers.map(({ id, outcome }) => [id, outcome]));
  expect(byId).toEqual(
    new Map([
      [1, 'put'],
      [2, 'error'],
      [3, 'put'],
    ]),
  );
});

const many = (count: number, first = 1): consensusV1.KvRequest[] =>
  Array.from({ length: count }, (_, index) => put(first + index, 'k'));

/** Holds every put until told to let go. */
function held(): { readonly kv: Partial<Kv>; readonly release: () => void; readonly count: () => number } {
  const waiting: (() => void)[] = [];
  return {
    kv: { Put: () => new Promise((resolve) => waiting.push(() => resolve({}))) },
    release: () => waiting.splice(0).forEach((go) => go()),
    count: () => waiting.length,
  };
}

it('sends what one turn answered as one message, in any order', async () => {
  const { kv, release, count } = held();
  const stream = new StreamBench({ ...kv, Range: () => ({}) })
    .send(...many(100), { id: 999, range: {} })
    .send(...many(100, 200));
  await turns();
  expect(stream.answers.map(({ id }) => id)).toEqual([999]);
  expect(count()).toBe(200);
  release();
  await turns();
  expect(stream.messages.map(({ responses }) => responses.length)).toEqual([1, 200]);
  await stream.end();
});

it('takes up 4,096 requests of one stream at a time, and those of a client that does not read count', async () => {
  const { kv, release, count } = held();
  const stream = new StreamBench(kv).send(...many(5_000));
  stream.reads = false;
  await turns();
  expect(count()).toBe(4_096);
  release();
  await turns();
  // All are answered, none was taken: nothing more is begun.
  expect(count()).toBe(0);
  stream.readOn();
  await turns();
  expect(count()).toBe(904);
  release();
  await stream.end();
  expect(new Set(stream.answers.map(({ id }) => id)).size).toBe(5_000);
});

it("refuses in etcd's words what is too much for all streams together", async () => {
  const { kv, release } = held();
  const service = streamOf(kv);
  const streams = Array.from({ length: 4 }, () => new StreamBench(kv, service).send(...many(4_096)));
  await turns();
  const fifth = new StreamBench(kv, service).send(put(1, 'k'));
  await fifth.end();
  expect(fifth.answers[0]?.error).toEqual({
    code: status.RESOURCE_EXHAUSTED,
    message: 'etcdserver: too many requests',
    kind: 'overloaded',
  });
  release();
  await Promise.all(streams.map((stream) => stream.end()));
  const sixth = new StreamBench(kv, service).send(put(1, 'k'));
  await turns();
  release();
  await sixth.end();
  expect(sixth.answers[0]?.outcome).toBe('put');
});

it('begins nothing more for a client that is gone', async () => {
  const { kv, release, count } = held();
  const stream = new StreamBench(kv).send(...many(5_000));
  await turns();
  stream.context.aborted = true;
  release();
  await stream.served;
  expect(count()).toBe(0);
  expect(stream.answers).toEqual([]);
});

it('splits answers of many bytes over several messages', async () => {
  const value = Buffer.alloc(400_000);
  const stream = new StreamBench({ Range: () => ({ kvs: [{ key: bytes('k'), value }] }) });
  await stream.send(...[1, 2, 3, 4, 5].map((id) => ({ id, range: { key: bytes('k') } }))).end();
  expect(stream.messages.map(({ responses }) => responses.length)).toEqual([2, 2, 1]);
});

it('ends the stream at once with a bug that a request met', async () => {
  const bug = new Error('nobody thought of that');
  const stream = new StreamBench({ Put: () => Promise.reject(bug), Range: () => ({}) });
  await expect(stream.send(put(1, 'k')).served).rejects.toBe(bug);
});
