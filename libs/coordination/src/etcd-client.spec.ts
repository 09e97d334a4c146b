import { GrpcChannels, GrpcServer, formatAddress, status, StatusError, type ServiceHandlers } from '@synod/rpc';
import { silentLog, SynodError, systemClock, systemRandom, systemTimers } from '@synod/runtime';
import { messageCodec } from '@synod/contracts';
import { EtcdCoordination } from './etcd-client';
import { toOperation } from './etcd-messages';

type Kv = ServiceHandlers<'etcdserverpb.KV'>;
type Watch = NonNullable<ServiceHandlers<'etcdserverpb.Watch'>['Watch']>;
type KeepAlive = NonNullable<ServiceHandlers<'etcdserverpb.Lease'>['LeaseKeepAlive']>;

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

/** A member that answers as told. */
async function member(kv: Kv, watch?: Watch, keepAlive?: KeepAlive): Promise<string> {
  const server = new GrpcServer({ log: silentLog, fault: () => undefined });
  server.addService('etcdserverpb.KV', kv);
  server.addService('etcdserverpb.Watch', watch === undefined ? {} : { Watch: watch });
  server.addService('etcdserverpb.Lease', keepAlive === undefined ? {} : { LeaseKeepAlive: keepAlive });
  const address = formatAddress(await server.listen('127.0.0.1:0'));
  cleanups.push(() => server.stop({ drainMs: 0 }));
  return address;
}

function client(...endpoints: string[]): EtcdCoordination {
  const channels = new GrpcChannels();
  // Always begins with the first.
  const random = { ...systemRandom, below: () => 0 };
  const ports = { channels, clock: systemClock, timers: systemTimers, random };
  const coordination = new EtcdCoordination(ports, { endpoints, identity: 'service' });
  cleanups.push(() => {
    coordination.close();
    channels.close();
  });
  return coordination;
}

const kindOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'done',
    (error: unknown) => (error instanceof SynodError ? error.kind : error),
  );

const key = Buffer.from('k');
const putOnce = { compare: [], success: [{ kind: 'put' as const, key, value: key }], failure: [] };
const answers: Kv = {
  Range: () => ({ header: { revision: '7' }, kvs: [{ key, value: key, modRevision: '5', createRevision: '3' }] }),
  Txn: () => ({ header: { revision: '8' }, succeeded: true, responses: [{ responsePut: {} }] }),
};
const fails = (code: status, details: string): Kv => {
  const refuse = (): never => {
    throw new StatusError(code, details);
  };
  return { Range: refuse, Txn: refuse };
};
const NO_LEADER = fails(status.UNAVAILABLE, 'etcdserver: no leader');

it('asks the next member when one is not there, or has no leader', async () => {
  const coordination = client('127.0.0.1:1', await member(NO_LEADER), await member(answers));
  expect(await coordination.range(key)).toMatchObject({
    revision: 7n,
    entries: [{ modRevision: 5n, createRevision: 3n }],
  });
  expect(await coordination.transaction(putOnce)).toEqual({ revision: 8n, succeeded: true, ranges: [[]] });
});

it('stays with the member that answered', async () => {
  let refused = 0;
  const refusing = await member({
    Range: () => {
      refused++;
      throw new StatusError(status.UNAVAILABLE, 'etcdserver: no leader');
    },
  });
  const coordination = client(refusing, await member(answers));
  for (let round = 0; round < 3; round++) await coordination.range(key);
  expect(refused).toBe(1);
});

it('does not repeat a write that may have been done, and repeats a read', async () => {
  let asked = 0;
  const counted = await member({
    ...answers,
    Txn: () => {
      asked++;
      return { header: { revision: '8' }, succeeded: true };
    },
  });
  const late = fails(status.UNAVAILABLE, 'etcdserver: request timed out, possibly due to previous leader failure');
  expect(await kindOf(client(await member(late), counted).transaction(putOnce))).toBe('outcome-unknown');
  expect(asked).toBe(0);
  expect(await kindOf(client(await member(late), await member(answers)).range(key))).toBe('done');
});

it.each([
  [status.NOT_FOUND, 'etcdserver: requested lease not found', 'not-found'],
  [status.INVALID_ARGUMENT, 'etcdserver: key is not provided', 'invalid-argument'],
  [status.PERMISSION_DENIED, 'etcdserver: permission denied', 'permission-denied'],
  [status.RESOURCE_EXHAUSTED, 'etcdserver: too many requests', 'overloaded'],
])('tells status %d (%s) as %s', async (code, details, kind) => {
  expect(await kindOf(client(await member(fails(code, details))).transaction(putOnce))).toBe(kind);
});

it('says who it is, and that it wants a member with a leader', async () => {
  const told: unknown[] = [];
  const address = await member({
    Range: (_, context) => {
      told.push(context.metadata('synod-identity'), context.metadata('hasleader'));
      return {};
    },
  });
  await client(address).range(key);
  expect(told).toEqual(['service', 'true']);
});

// etcd's server takes an empty range_end that is on the wire for "to the last key".
it('leaves the end of a range out when it means one key', () => {
  const codec = messageCodec('etcdserverpb.RequestOp');
  for (const kind of ['range', 'delete'] as const) {
    const bytes = codec.encode(toOperation({ kind, key }));
    expect(bytes).toEqual(codec.encode(kind === 'range' ? { requestRange: { key } } : { requestDeleteRange: { key } }));
  }
});

it('renews a lease, and takes a time to live of 0 for its end', async () => {
  const address = await member({}, undefined, async (requests, responses) => {
    for await (const { ID } of requests) responses.send({ ID, TTL: ID === '5' ? '10' : '0' });
  });
  const coordination = client(address);
  expect(await coordination.keepLeaseAlive(5n)).toBe(10);
  expect(await coordination.keepLeaseAlive(6n)).toBe(0);
});

describe('a watch', () => {
  const put = (revision: number) => ({ type: 'PUT' as const, kv: { key, modRevision: String(revision) } });

  it('delivers revision by revision, and goes on at another member after the last one', async () => {
    const starts: string[] = [];
    const serving =
      (from: number, revisions: number[][]): Watch =>
      async (requests, responses) => {
        for await (const { createRequest } of requests) {
          starts.push(createRequest?.startRevision ?? '');
          responses.send({ created: true, header: { revision: String(from) } });
          for (const group of revisions) responses.send({ header: {}, events: group.map(put) });
          return;
        }
      };
    const first = await member({}, serving(4, [[2], [3, 3, 4]]));
    const second = await member({}, serving(6, [[4], [5, 6]]));
    const seen: [bigint, number][] = [];
    const coordination = client(first, second);
    await new Promise<void>((resolve) => {
      coordination.watch(
        { key, startRevision: 2n },
        {
          events: (events, revision) => {
            seen.push([revision, events.length]);
            if (revision === 6n) resolve();
          },
          compacted: () => undefined,
        },
      );
    });
    expect(seen).toEqual([2n, 3n, 4n, 5n, 6n].map((revision) => [revision, revision === 3n ? 2 : 1]));
    expect(starts.slice(0, 2)).toEqual(['2', '5']);
  });

  it('ends when its history is gone, and goes on when it was cancelled for another reason', async () => {
    let dials = 0;
    const address = await member({}, async (requests, responses) => {
      for await (const request of requests) {
        if (request.createRequest === null) continue;
        dials++;
        responses.send({ created: true, header: { revision: '20' } });
        responses.send(dials === 1 ? { canceled: true } : { canceled: true, compactRevision: '9' });
      }
    });
    const compacted = await new Promise<bigint>((resolve) => {
      client(address).watch({ key, startRevision: 2n }, { events: () => undefined, compacted: resolve });
    });
    expect([compacted, dials]).toEqual([9n, 2]);
  });

  it('counts progress, so that compaction does not overtake it', async () => {
    const starts: string[] = [];
    const address = await member({}, async (requests, responses) => {
      for await (const { createRequest } of requests) {
        starts.push(createRequest?.startRevision ?? '');
        responses.send({ created: true, header: { revision: '4' } });
        responses.send({ header: { revision: '30' } });
        return;
      }
    });
    const cancel = client(address).watch(
      { key, startRevision: 5n },
      { events: () => undefined, compacted: () => undefined },
    );
    while (starts.length < 2) await new Promise((resolve) => setImmediate(resolve));
    cancel();
    expect(starts).toEqual(['5', '31']);
  });
});
