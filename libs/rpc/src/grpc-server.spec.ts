import { networkInterfaces } from 'node:os';
import { Client, credentials, Metadata, status, type ServiceError } from '@grpc/grpc-js';
import { serviceDefinition } from '@synod/contracts';
import { invariant } from '@synod/invariant';
import { SynodError, type ErrorKind } from '@synod/runtime';
import { formatAddress } from './address';
import { StatusError, statusOf } from './error-table';
import type { ServiceHandlers } from './handlers';
import type { GrpcServer } from './grpc-server';
import type { Undecodable } from './served-method';
import { gate, withServer, type TestServer } from './test-server';
import { currentTraceId } from './trace';

const { Range, Put } = serviceDefinition('etcdserverpb.KV');
const { Watch } = serviceDefinition('etcdserverpb.Watch');
const { Snapshot } = serviceDefinition('etcdserverpb.Maintenance');
const key = Buffer.from('k');
const DEADLINE_MS = 10_000;

function kv(handlers: ServiceHandlers<'etcdserverpb.KV'>, options = {}): (server: GrpcServer) => void {
  return (server) => server.addService('etcdserverpb.KV', handlers, options);
}

function hasIpv6(): boolean {
  return Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ address }) => address === '::1'));
}

function range({ channels, address }: TestServer, options = {}) {
  return channels.callUnary(address, Range, { key }, { deadlineMs: DEADLINE_MS, ...options });
}

describe('GrpcServer: unary calls', () => {
  it('decodes, calls the handler, encodes, and counts the call', async () => {
    const handlers: ServiceHandlers<'etcdserverpb.KV'> = { Range: ({ key }) => ({ kvs: [{ key }], count: '1' }) };
    await withServer({}, kv(handlers), async (bench) => {
      expect((await range(bench)).kvs[0]?.key).toEqual(key);
      expect(bench.calls).toEqual(['/etcdserverpb.KV/Range OK']);
    });
  });

  it('answers UNIMPLEMENTED for a method without a handler', async () => {
    await withServer({}, kv({}), async (bench) => {
      await expect(range(bench)).rejects.toMatchObject({ kind: 'unimplemented' });
    });
  });

  it('gives each call a trace id: the client its own back, and others a fresh one', async () => {
    const seen: (string | undefined)[] = [];
    const handlers: ServiceHandlers<'etcdserverpb.KV'> = {
      Range: async (_, context) => {
        await Promise.resolve();
        seen.push(currentTraceId());
        expect(context.traceId).toBe(currentTraceId());
        return {};
      },
    };
    await withServer({}, kv(handlers), async ({ address }) => {
      const asked = async (traceId: string): Promise<unknown> => {
        const client = new Client(address, credentials.createInsecure());
        const metadata = new Metadata();
        metadata.set('x-trace-id', traceId);
        const trailers = await new Promise<Metadata>((resolve) => {
          client
            .makeUnaryRequest(
              '/etcdserverpb.KV/Range',
              () => Buffer.alloc(0),
              () => undefined,
              {},
              metadata,
              () => undefined,
            )
            .on('status', ({ metadata }) => resolve(metadata));
        });
        client.close();
        return trailers.get('x-trace-id')[0];
      };
      expect(await asked('checkout-17')).toBe('checkout-17');
      expect(await asked('not fit for a log: {"level":"error"}')).toMatch(/^[0-9a-f]{16}$/);
      expect(seen[0]).toBe('checkout-17');
    });
  });

  it('takes the trace id of the call being served along to the next service', async () => {
    const seen: string[] = [];
    const inner: ServiceHandlers<'etcdserverpb.KV'> = { Range: (_, { traceId }) => (seen.push(traceId), {}) };
    await withServer({}, kv(inner), async (back) => {
      const outer: ServiceHandlers<'etcdserverpb.KV'> = {
        Range: async (_, { traceId }) => {
          seen.push(traceId);
          return range(back);
        },
      };
      await withServer({}, kv(outer), async (front) => {
        await range(front);
        expect(seen[1]).toBe(seen[0]);
      });
    });
  });

  it('answers bytes that are no request with INVALID_ARGUMENT, naming the method', async () => {
    await withServer({}, kv({ Range: () => ({}) }), async ({ channels, address }) => {
      const broken: typeof Range = { ...Range, requestSerialize: () => Buffer.from([0x0a, 0x7f]) };
      const call = channels.callUnary(address, broken, {}, { deadlineMs: DEADLINE_MS });
      await expect(call).rejects.toMatchObject({
        kind: 'invalid-argument',
        message: expect.stringMatching(/a request to \/etcdserverpb.KV\/Range cannot be decoded/) as string,
      });
    });
  });

  it('answers them as the contract of a service prescribes, for calls and for streams', async () => {
    const undecodable: Undecodable = (cause, { stream }) =>
      new StatusError(status.INTERNAL, `${cause.name}, ${stream ? 'stream' : 'call'}`);
    const prepare = (server: GrpcServer): void => {
      kv({ Range: () => ({}) }, { undecodable })(server);
      const Watch = async (requests: AsyncIterable<unknown>): Promise<void> =>
        void (await requests[Symbol.asyncIterator]().next());
      server.addService('etcdserverpb.Watch', { Watch }, { undecodable });
    };
    await withServer({}, prepare, async ({ channels, address, logged }) => {
      const endOf = (path: string): Promise<unknown> =>
        new Promise((resolve) => {
          const call = channels.openBytes(address, path);
          call.on('error', ({ code, details }: ServiceError) => resolve([code, details]));
          call.resume();
          call.end(Buffer.from([0x0a, 0x7f]));
        });
      expect(await endOf(Range.path)).toEqual([status.INTERNAL, 'RangeError, call']);
      expect(await endOf(Watch.path)).toEqual([status.INTERNAL, 'RangeError, stream']);
      // It is the client's doing: nobody looks for a bug here.
      expect(logged.filter(({ level }) => level === 'error')).toEqual([]);
    });
  });

  it('refuses a message over the limit of the server or of a service with RESOURCE_EXHAUSTED, and goes on', async () => {
    const handlers: ServiceHandlers<'etcdserverpb.KV'> = { Put: () => ({}) };
    const put = ({ channels, address }: TestServer, bytes: number) =>
      channels.callUnary(address, Put, { key, value: Buffer.alloc(bytes) }, { deadlineMs: DEADLINE_MS });
    const scenario = async (bench: TestServer): Promise<void> => {
      await expect(put(bench, 2_000)).rejects.toMatchObject({
        kind: 'overloaded',
        message: expect.stringMatching(/grpc: received message larger than max \(20\d\d vs. 1000\)$/) as string,
      });
      await put(bench, 10);
    };
    await withServer({ messageBytesMax: 1_000 }, kv(handlers), scenario);
    await withServer({}, kv(handlers, { messageBytesMax: 1_000 }), scenario);
  });

  it('bounds the calls being served', async () => {
    const { opened, open } = gate();
    const handlers: ServiceHandlers<'etcdserverpb.KV'> = { Range: () => opened.then(() => ({})) };
    await withServer({ inflightMax: 2 }, kv(handlers), async (bench) => {
      const [first, second] = [range(bench), range(bench)];
      await expect(range(bench)).rejects.toMatchObject({
        kind: 'overloaded',
        message: expect.stringMatching(/2 calls are being served/) as string,
      });
      open();
      await Promise.all([first, second]);
      await range(bench);
    });
  });

  it('answers health while it is at its bound', async () => {
    const { opened, open } = gate();
    const handlers: ServiceHandlers<'etcdserverpb.KV'> = { Range: () => opened.then(() => ({})) };
    await withServer({ inflightMax: 1 }, kv(handlers), async (bench) => {
      const busy = range(bench);
      const { Check } = serviceDefinition('grpc.health.v1.Health');
      const health = await bench.channels.callUnary(bench.address, Check, {}, { deadlineMs: DEADLINE_MS });
      expect(health.status).toBe('SERVING');
      open();
      await busy;
    });
  });

  it('tells the handler when its client is gone', async () => {
    const [started, gone] = [gate(), gate()];
    const handlers: ServiceHandlers<'etcdserverpb.KV'> = {
      Range: async (_, { signal }) => {
        started.open();
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        gone.open();
        return {};
      },
    };
    await withServer({}, kv(handlers), async (bench) => {
      const cancel = new AbortController();
      const call = expect(range(bench, { signal: cancel.signal })).rejects.toMatchObject({ kind: 'outcome-unknown' });
      await started.opened;
      cancel.abort();
      await Promise.all([call, gone.opened]);
    });
  });

  it("ends a call at its deadline, the client's or its own, as outcome-unknown", async () => {
    const { opened, open } = gate();
    const remaining: number[] = [];
    const handlers: ServiceHandlers<'etcdserverpb.KV'> = {
      Range: (_, { remainingMs }) => (remaining.push(remainingMs), opened.then(() => ({}))),
    };
    await withServer({}, kv(handlers, { deadlineMsMax: 50 }), async (bench) => {
      await expect(range(bench)).rejects.toMatchObject({
        kind: 'outcome-unknown',
        message: expect.stringMatching(/not done within 50 ms/) as string,
      });
      await expect(range(bench, { deadlineMs: 20 })).rejects.toMatchObject({ kind: 'outcome-unknown' });
      expect(remaining[0]).toBeGreaterThan(0);
      expect(remaining[0]).toBeLessThanOrEqual(50);
      open();
    });
  });
});

describe('GrpcServer: errors', () => {
  const STATUS_OF_KIND: Record<ErrorKind, status> = {
    'invalid-argument': status.INVALID_ARGUMENT,
    'not-found': status.NOT_FOUND,
    'already-exists': status.ALREADY_EXISTS,
    'failed-precondition': status.FAILED_PRECONDITION,
    'permission-denied': status.PERMISSION_DENIED,
    conflict: status.ABORTED,
    'not-leader': status.FAILED_PRECONDITION,
    'wrong-shard': status.FAILED_PRECONDITION,
    unavailable: status.UNAVAILABLE,
    overloaded: status.RESOURCE_EXHAUSTED,
    'outcome-unknown': status.UNKNOWN,
    corrupt: status.DATA_LOSS,
    unimplemented: status.UNIMPLEMENTED,
  };

  it.each(Object.entries(STATUS_OF_KIND))(
    'says %s as its status, and the client has the kind and hint again',
    async (kind, code) => {
      const error = new SynodError(kind as ErrorKind, 'what went wrong', { hint: '127.0.0.1:1' });
      const handlers: ServiceHandlers<'etcdserverpb.KV'> = { Range: () => Promise.reject(error) };
      await withServer({}, kv(handlers), async (bench) => {
        const seen = await range(bench).catch((thrown: unknown) => thrown as SynodError);
        expect(seen).toMatchObject({
          kind,
          message: `${bench.address}: what went wrong`,
          details: { hint: '127.0.0.1:1' },
        });
        expect(statusOf(seen)).toMatchObject({ code, details: 'what went wrong' });
      });
    },
  );

  it('keeps code and text of a StatusError to the letter', async () => {
    const handlers: ServiceHandlers<'etcdserverpb.KV'> = {
      Range: () =>
        Promise.reject(new StatusError(status.OUT_OF_RANGE, 'etcdserver: mvcc: required revision has been compacted')),
    };
    await withServer({}, kv(handlers), async (bench) => {
      const seen: unknown = await range(bench).catch((error: unknown) => error);
      expect(statusOf(seen)).toMatchObject({
        code: status.OUT_OF_RANGE,
        details: 'etcdserver: mvcc: required revision has been compacted',
      });
    });
  });

  it('hides what a bug says from clients, and logs it under the trace id that they get', async () => {
    const handlers: ServiceHandlers<'etcdserverpb.KV'> = {
      Range: () => Promise.reject(new Error('secret path /etc/x')),
    };
    await withServer({}, kv(handlers), async (bench) => {
      const seen = (await range(bench).catch((error: unknown) => error)) as SynodError;
      expect(seen.kind).toBe('outcome-unknown');
      expect(seen.message).toMatch(/an internal error; the server's log has it under trace id [0-9a-f]{16}$/);
      expect(statusOf(seen)?.code).toBe(status.INTERNAL);
      const line = bench.logged.find(({ level }) => level === 'error');
      expect(line?.fields['stack']).toMatch(/secret path.*\n.*at /);
      expect(line?.fields['method']).toBe('/etcdserverpb.KV/Range');
      expect(bench.faults).toEqual([]);
    });
  });

  it('reports a broken invariant to whoever runs the process', async () => {
    const handlers: ServiceHandlers<'etcdserverpb.KV'> = {
      Range: () => {
        invariant(false, 'one-command-per-instance');
        return {};
      },
    };
    await withServer({}, kv(handlers), async (bench) => {
      await expect(range(bench)).rejects.toThrow(/a broken invariant/);
      expect(bench.faults.map(({ invariant }) => invariant)).toEqual(['one-command-per-instance']);
    });
  });
});

describe('GrpcChannels', () => {
  it('tell a call that was certainly not sent from one whose fate is unknown', async () => {
    await withServer({}, kv({ Range: () => ({}) }), async ({ channels }) => {
      const nobody = channels.callUnary('127.0.0.1:1', Range, { key }, { deadlineMs: DEADLINE_MS });
      await expect(nobody).rejects.toMatchObject({ kind: 'unavailable' });
    });
  });

  it.each([
    [false, 'outcome-unknown'],
    [true, 'unavailable'],
  ])('call a broken connection by what it means to an idempotent=%s call', async (idempotent, kind) => {
    const started = gate();
    const handlers: ServiceHandlers<'etcdserverpb.KV'> = {
      Range: (_, { signal }) => {
        started.open();
        // Else its deadline would strike in the midst of another file's tests.
        return new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));
      },
    };
    await withServer({}, kv(handlers), async (bench) => {
      const call = range(bench, { idempotent }).catch((error: unknown) => error);
      await started.opened;
      await bench.server.stop({ drainMs: 0 });
      expect(await call).toMatchObject({ kind });
    });
  });

  it.each(['unix:/tmp/x', 'localhost', '127.0.0.1:70000', '::1:80', ''])('refuse the address %j', async (address) => {
    await withServer(
      {},
      () => undefined,
      async ({ channels }) => {
        await expect(channels.callUnary(address, Range, {}, { deadlineMs: 1 })).rejects.toMatchObject({
          kind: 'invalid-argument',
          message: `${JSON.stringify(address)} is not an address; write host:port or [ipv6]:port`,
        });
      },
    );
  });

  it('refuse a request that its type cannot hold, before anything is sent', async () => {
    await withServer({}, kv({ Range: () => ({}) }), async ({ channels, address, calls }) => {
      const request = { key, limit: { not: 'a number' } } as unknown as Parameters<typeof Range.requestSerialize>[0];
      const broken: typeof Range = {
        ...Range,
        requestSerialize: (given) => {
          if (typeof given.limit === 'object') throw new Error('limit: number expected');
          return Range.requestSerialize(given);
        },
      };
      await expect(channels.callUnary(address, broken, request, { deadlineMs: DEADLINE_MS })).rejects.toMatchObject({
        kind: 'invalid-argument',
        message: 'a request to /etcdserverpb.KV/Range cannot be encoded: limit: number expected',
      });
      expect(calls).toEqual([]);
    });
  });
});

describe('GrpcServer: streams', () => {
  it('serves a stream of responses at the pace of its reader', async () => {
    let made = 0;
    const prepare = (server: GrpcServer): void =>
      server.addService('etcdserverpb.Maintenance', {
        Snapshot: async function* () {
          for (; made < 200; made++) yield { blob: Buffer.alloc(100_000) };
        },
      });
    await withServer({ queueBytesMax: 500_000 }, prepare, async ({ channels, address }) => {
      let [read, aheadMax] = [0, 0];
      for await (const { blob } of channels.callServerStream(address, Snapshot, {}, {})) {
        read++;
        expect(blob).toHaveLength(100_000);
        // The reader pauses on every message; what was made ahead of it fits in the queue and the buffers of the connection.
        await new Promise((resolve) => setImmediate(resolve));
        aheadMax = Math.max(aheadMax, made - read);
      }
      expect([read, made]).toEqual([200, 200]);
      expect(aheadMax).toBeLessThan(100);
    });
  });

  it('stops a stream of responses when its reader leaves', async () => {
    const ended = gate();
    const prepare = (server: GrpcServer): void =>
      server.addService('etcdserverpb.Maintenance', {
        Snapshot: async function* () {
          try {
            for (;;) yield { blob: Buffer.alloc(10_000) };
          } finally {
            ended.open();
          }
        },
      });
    await withServer({}, prepare, async ({ channels, address }) => {
      for await (const { blob } of channels.callServerStream(address, Snapshot, {}, {})) {
        expect(blob).toHaveLength(10_000);
        break;
      }
      await ended.opened;
    });
  });

  it('ends a stream of responses with the error that its handler throws', async () => {
    const prepare = (server: GrpcServer): void =>
      server.addService('etcdserverpb.Maintenance', {
        Snapshot: async function* () {
          yield { blob: Buffer.from('first') };
          throw new SynodError('corrupt', 'segment 3 is damaged');
        },
      });
    await withServer({}, prepare, async ({ channels, address }) => {
      const read: string[] = [];
      const reading = (async () => {
        for await (const { blob } of channels.callServerStream(address, Snapshot, {}, {})) read.push(blob.toString());
      })();
      await expect(reading).rejects.toMatchObject({ kind: 'corrupt' });
      expect(read).toEqual(['first']);
    });
  });

  it('serves both ways at once, and lets either end finish', async () => {
    const handlers: ServiceHandlers<'etcdserverpb.Watch'> = {
      Watch: async (requests, responses) => {
        for await (const { requestUnion, createRequest } of requests) {
          if (requestUnion === 'createRequest')
            responses.send({ watchId: createRequest?.watchId ?? '0', created: true });
          if (requestUnion === 'cancelRequest') return;
        }
      },
    };
    await withServer(
      {},
      (server) => server.addService('etcdserverpb.Watch', handlers),
      async ({ channels, address, calls }) => {
        const seen: string[] = [];
        const [answered, ended] = [gate(), gate()];
        const stream = channels.openStream(address, Watch, {
          receive: ({ watchId }) => {
            seen.push(watchId);
            if (seen.length === 2) answered.open();
          },
          closed: (error) => {
            seen.push(`closed ${error?.message ?? 'well'}`);
            ended.open();
          },
        });
        stream.send({ createRequest: { key, watchId: 1 } });
        stream.send({ createRequest: { key, watchId: 2 } });
        await answered.opened;
        stream.send({ cancelRequest: { watchId: 1 } });
        await ended.opened;
        expect(seen).toEqual(['1', '2', 'closed well']);
        expect(stream.send({})).toBe(false);
        expect(calls).toEqual(['/etcdserverpb.Watch/Watch OK']);
      },
    );
  });

  it('ends the requests of a stream whose client is gone', async () => {
    const ended = gate();
    const started = gate();
    const handlers: ServiceHandlers<'etcdserverpb.Watch'> = {
      Watch: async (requests, _, context) => {
        for await (const request of requests) {
          expect(request).toBeDefined();
          started.open();
        }
        if (!context.aborted) await new Promise((resolve) => context.signal.addEventListener('abort', resolve));
        ended.open();
      },
    };
    await withServer(
      {},
      (server) => server.addService('etcdserverpb.Watch', handlers),
      async ({ channels, address }) => {
        const cancel = new AbortController();
        const closed = gate();
        const handler = { receive: () => undefined, closed: () => closed.open() };
        channels.openStream(address, Watch, handler, { signal: cancel.signal }).send({});
        await started.opened;
        cancel.abort();
        await Promise.all([ended.opened, closed.opened]);
      },
    );
  });

  it('lets streams be open for as long as their clients want them', async () => {
    const remaining: number[] = [];
    const watch: ServiceHandlers<'etcdserverpb.Watch'> = {
      Watch: async (_, __, { remainingMs }) => void remaining.push(remainingMs),
    };
    const snapshot: ServiceHandlers<'etcdserverpb.Maintenance'> = {
      Snapshot: async function* (_, { remainingMs }) {
        remaining.push(remainingMs);
        yield await Promise.resolve({});
      },
    };
    const prepare = (server: GrpcServer): void => {
      server.addService('etcdserverpb.Watch', watch);
      server.addService('etcdserverpb.Maintenance', snapshot);
    };
    await withServer({}, prepare, async ({ channels, address }) => {
      await new Promise<void>((resolve) => {
        channels.openStream(address, Watch, { receive: () => undefined, closed: () => resolve() });
      });
      const blobs = channels.callServerStream(address, Snapshot, {}, {});
      while ((await blobs.next()).done !== true) continue;
      expect(remaining).toEqual([Infinity, Infinity]);
    });
  });

  it('bounds the streams that are open', async () => {
    const handlers: ServiceHandlers<'etcdserverpb.Watch'> = {
      Watch: async (requests, responses) => {
        for await (const request of requests) responses.send({ created: request !== undefined });
      },
    };
    await withServer(
      { streamsMax: 1 },
      (server) => server.addService('etcdserverpb.Watch', handlers),
      async ({ channels, address }) => {
        const open = gate();
        channels.openStream(address, Watch, { receive: () => open.open(), closed: () => undefined }).send({});
        await open.opened;
        const refused = new Promise<SynodError | undefined>((resolve) => {
          channels.openStream(address, Watch, { receive: () => undefined, closed: resolve });
        });
        expect(await refused).toMatchObject({ kind: 'overloaded' });
      },
    );
  });
});

describe('GrpcServer: streams of health', () => {
  const Health = serviceDefinition('grpc.health.v1.Health');
  const limits = { streamsMax: 1, probeStreamsMax: 1 };
  const serveWatch = (server: GrpcServer): void =>
    server.addService('etcdserverpb.Watch', {
      Watch: async (requests, responses) => {
        for await (const request of requests) responses.send({ created: request !== undefined });
      },
    });

  it('have a bound of their own, use up no other, and end when the server stops', async () => {
    await withServer(limits, serveWatch, async ({ server, channels, address }) => {
      const watch = () => channels.callServerStream(address, Health.Watch, {}, {})[Symbol.asyncIterator]();
      const first = watch();
      expect((await first.next()).value).toEqual({ status: 'SERVING' });
      await expect(watch().next()).rejects.toMatchObject({
        kind: 'overloaded',
        message: expect.stringMatching(/1 streams of its kind are open/) as string,
      });
      const open = gate();
      channels.openStream(address, Watch, { receive: () => open.open(), closed: () => undefined }).send({});
      await open.opened;
      const stopped = server.stop({ drainMs: 0 });
      expect((await first.next()).value).toEqual({ status: 'NOT_SERVING' });
      await expect(first.next()).rejects.toMatchObject({ message: expect.stringMatching(/stopping/) as string });
      await stopped;
    });
  });
});

describe('GrpcServer: start and stop', () => {
  it.each(['127.0.0.1:0', 'localhost:0', '[::1]:0'])('listens on %s and is called there', async (wanted) => {
    if (wanted.startsWith('[') && !hasIpv6()) return;
    await withServer({}, kv({ Range: () => ({ count: '7' }) }), async ({ server, channels }) => {
      const address = formatAddress(await server.listen(wanted));
      expect(address).toMatch(/:[1-9]\d*$/);
      expect((await channels.callUnary(address, Range, { key }, { deadlineMs: DEADLINE_MS })).count).toBe('7');
    });
  });

  it('names the port that is in use', async () => {
    await withServer(
      {},
      () => undefined,
      async ({ address }) => {
        await withServer(
          {},
          () => undefined,
          async ({ server }) => {
            const port = address.split(':')[1] ?? '';
            await expect(server.listen(address)).rejects.toMatchObject({
              kind: 'unavailable',
              message: `cannot listen on ${address}: port ${port} is in use; stop what uses it or listen on another`,
            });
          },
        );
      },
    );
  });

  it('names an address that this machine does not have', async () => {
    await withServer(
      {},
      () => undefined,
      async ({ server }) => {
        await expect(server.listen('203.0.113.7:0')).rejects.toThrow(/203.0.113.7 is not an address of this machine/);
      },
    );
  });

  it('lets calls being served finish, and refuses new ones', async () => {
    const [started, release] = [gate(), gate()];
    const handlers: ServiceHandlers<'etcdserverpb.KV'> = {
      Range: async () => {
        started.open();
        await release.opened;
        return { count: '7' };
      },
    };
    await withServer({}, kv(handlers), async (bench) => {
      const call = range(bench);
      await started.opened;
      const stopped = bench.server.stop({ drainMs: 10_000 });
      expect(bench.server.health.isServing()).toBe(false);
      await expect(range(bench)).rejects.toMatchObject({ kind: 'unavailable' });
      release.open();
      expect((await call).count).toBe('7');
      await stopped;
    });
  });

  it('does not serve a method twice', () => {
    return withServer({}, kv({ Range: () => ({}) }), async ({ server }) => {
      expect(() => server.addService('etcdserverpb.KV', { Range: () => ({}) })).toThrow(/KV\/Range is served twice/);
    });
  });
});
