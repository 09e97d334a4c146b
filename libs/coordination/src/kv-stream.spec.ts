import type { consensusV1 } from '@synod/contracts';
import { GrpcChannels, GrpcServer, StatusError, status, statusOf, type ServiceHandlers } from '@synod/rpc';
import { silentLog, SynodError } from '@synod/runtime';
import { KvStream } from './kv-stream';

const key = Buffer.from('k');
const channels = new GrpcChannels();
let server: GrpcServer;
let address: string;
/** What a member was sent, batch by batch. */
let batches: consensusV1.KvRequest__Output[][] = [];

/** A member that answers puts of nothing, refuses deletions, leaves ranges unanswered, and ends the stream at a transaction. */
const member: ServiceHandlers<'synod.consensus.v1.KvStream'> = {
  Exchange: async (requests, responses) => {
    for await (const batch of requests) {
      batches.push(batch.requests);
      if (batch.requests.some(({ body }) => body === 'txn')) throw new StatusError(status.UNAVAILABLE, 'gone');
      responses.send({
        responses: batch.requests.toReversed().flatMap(({ id, put, deleteRange }): consensusV1.KvResponse[] => {
          if (deleteRange != null) {
            return [{ id, error: { code: 3, message: 'etcdserver: key is not provided', kind: 'invalid-argument' } }];
          }
          return put != null && put.value.length === 0 ? [{ id, put: { header: { revision: String(id) } } }] : [];
        }),
      });
    }
  },
};

beforeAll(async () => {
  server = new GrpcServer({ log: silentLog, fault: () => undefined });
  server.addService('synod.consensus.v1.KvStream', member);
  address = `127.0.0.1:${(await server.listen('127.0.0.1:0')).port}`;
});
beforeEach(() => (batches = []));
afterAll(async () => {
  channels.close();
  await server.stop({ drainMs: 0 });
});

const kindOf = (answer: Promise<unknown>): Promise<string> =>
  answer.then(
    () => 'done',
    (error: unknown) => (error instanceof SynodError ? error.kind : String(error)),
  );

it('sends what one turn asks as one batch, and pairs answers in any order', async () => {
  const stream = new KvStream(channels, address);
  const [first, refused, third] = await Promise.all([
    stream.put({ key }),
    stream.deleteRange({ key }).catch((error: unknown) => error),
    stream.put({ key }),
  ]);
  expect([first.header?.revision, third.header?.revision]).toEqual(['1', '3']);
  expect(refused).toMatchObject({ kind: 'invalid-argument' });
  expect(statusOf(refused)).toEqual({ code: 3, details: 'etcdserver: key is not provided' });
  expect(batches.map(({ length }) => length)).toEqual([3]);
  stream.close();
});

it('says of a write that was not answered that nobody knows, of a read and of what was not sent that it was not done', async () => {
  const stream = new KvStream(channels, address);
  const unanswered = [stream.put({ key, value: key }), stream.range({ key }), stream.txn({})].map(kindOf);
  expect(await Promise.all(unanswered)).toEqual(['outcome-unknown', 'unavailable', 'outcome-unknown']);
  expect(stream.isOpen).toBe(false);
  expect(await kindOf(stream.put({ key }))).toBe('unavailable');

  const closed = new KvStream(channels, address);
  const unsent = kindOf(closed.put({ key }));
  closed.close();
  expect(await unsent).toBe('unavailable');
});

it('refuses what is no request, and what is too much, before it is sent', async () => {
  const stream = new KvStream(channels, address);
  expect(await kindOf(stream.put('no request' as unknown as object))).toBe('invalid-argument');
  const waiting = Array.from({ length: 4_096 }, () => kindOf(stream.put({ key, value: key })));
  expect(await kindOf(stream.put({ key }))).toBe('overloaded');
  expect(stream.inflight).toBe(4_096);
  stream.close();
  expect(new Set(await Promise.all(waiting))).toEqual(new Set(['unavailable']));
});

it('splits a batch of many bytes', async () => {
  const stream = new KvStream(channels, address);
  const value = Buffer.alloc(400_000);
  const waiting = Array.from({ length: 5 }, () => kindOf(stream.put({ key, value })));
  await stream.put({ key });
  expect(batches.map(({ length }) => length)).toEqual([3, 3]);
  stream.close();
  expect(new Set(await Promise.all(waiting))).toEqual(new Set(['outcome-unknown']));
});
