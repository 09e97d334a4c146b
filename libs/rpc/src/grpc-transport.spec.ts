import net from 'node:net';
import { silentLog, type Codec, type Connection, type Transport } from '@synod/runtime';
import { GrpcChannels } from './channels';
import { GrpcServer } from './grpc-server';
import { grpcTransport } from './grpc-transport';
import type { RpcLimits } from './limits';
import { describeTransport, Recorder, testProtocol } from './transport-conformance';

const QUEUE_MESSAGES_MAX = 2_000;

interface Ends {
  readonly dialler: Transport;
  readonly serving: Transport;
  readonly server: GrpcServer;
  readonly faults: unknown[];
  listen(): Promise<string>;
}

async function withEnds(limits: Partial<RpcLimits>, scenario: (ends: Ends) => Promise<void>): Promise<void> {
  const bounds = { queueMessagesMax: QUEUE_MESSAGES_MAX, ...limits };
  const faults: unknown[] = [];
  const common = { log: silentLog, fault: (error: unknown) => void faults.push(error) };
  const server = new GrpcServer({ ...common, limits: bounds });
  const channels = new GrpcChannels(bounds);
  try {
    await scenario({
      dialler: grpcTransport({ ...common, channels }),
      serving: grpcTransport({ ...common, channels, server }),
      server,
      faults,
      listen: async () => `127.0.0.1:${(await server.listen('127.0.0.1:0')).port}`,
    });
  } finally {
    channels.close();
    await server.stop({ drainMs: 0 });
  }
}

/** Accepts connections and never reads: what it is sent stays where it came from. */
async function silentServer(): Promise<{ readonly address: string; close(): void }> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket.pause().on('error', () => undefined));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    address: `127.0.0.1:${(server.address() as net.AddressInfo).port}`,
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

describeTransport('grpcTransport', (scenario) =>
  withEnds({}, ({ dialler, serving, listen, faults }) =>
    scenario({ dialler, server: serving, listen, queueMessagesMax: QUEUE_MESSAGES_MAX }).then(() =>
      expect(faults).toEqual([]),
    ),
  ),
);

describe('grpcTransport', () => {
  it('splits a batch that is too long, and keeps its order', async () => {
    await withEnds({ batchBytesMax: 1_000 }, async ({ dialler, serving, listen }) => {
      const [there, protocol] = [new Recorder(), testProtocol()];
      serving.serve(protocol, () => there);
      const up = dialler.connect(protocol, await listen(), new Recorder());
      const messages = Array.from({ length: 64 }, (_, i) => `${i}`.padEnd(100));
      for (const message of messages) up.send(message);
      expect(await there.count(64)).toEqual(messages);
      expect(Math.max(...protocol.up.batches)).toBe(64);
      expect(protocol.up.batches.filter((count) => count <= 8).length).toBeGreaterThanOrEqual(8);
    });
  });

  it('breaks off on a message over the bound, and says so', async () => {
    await withEnds({ messageBytesMax: 10_000 }, async ({ dialler, serving, listen }) => {
      const here = new Recorder();
      serving.serve(testProtocol(), () => new Recorder());
      const up = dialler.connect(testProtocol(), await listen(), here);
      up.send('x'.repeat(20_000));
      expect(await here.end()).toBe('a message of 20002 bytes exceeds the bound of 10000');
      expect(up.send('more')).toBe(false);
    });
  });

  it('breaks off on bytes that its codec refuses, at both ends', async () => {
    await withEnds({}, async ({ dialler, serving, listen, faults }) => {
      const [here, there, protocol] = [new Recorder(), new Recorder(), testProtocol()];
      serving.serve(protocol, () => there);
      const up: Codec<unknown> = { encode: () => Buffer.from('{'), decode: () => [] };
      const corrupting = { ...protocol, up };
      dialler.connect(corrupting, await listen(), here).send('anything');
      expect(await there.end()).toMatch(/^a batch of 1 bytes cannot be decoded/);
      expect(await here.end()).toMatch(/^INVALID_ARGUMENT: a batch of 1 bytes cannot be decoded/);
      expect(faults).toEqual([]);
    });
  });

  it('reports what a handler throws as a fault of the host, not of the network', async () => {
    await withEnds({}, async ({ dialler, serving, listen, faults }) => {
      const there = new Recorder();
      serving.serve(testProtocol(), () => ({
        receive: (message) => {
          there.receive(message);
          throw new Error('a bug');
        },
        closed: (reason) => there.closed(reason),
      }));
      const up = dialler.connect(testProtocol(), await listen(), new Recorder());
      up.send(1);
      up.send(2);
      await there.count(2);
      expect(faults).toEqual([new Error('a bug'), new Error('a bug')]);
    });
  });

  it('counts bytes as well as messages, so that a reader who stalls fills no memory', async () => {
    const silent = await silentServer();
    await withEnds({ queueBytesMax: 1_000_000, dialTimeoutMs: 5_000 }, async ({ dialler }) => {
      const up = dialler.connect(testProtocol(), silent.address, new Recorder());
      let taken = 0;
      while (up.send('x'.repeat(100_000))) {
        taken++;
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(taken).toBe(10);
      up.close();
    });
    silent.close();
  });

  it('gives up a dial that nobody answers', async () => {
    const silent = await silentServer();
    await withEnds({ dialTimeoutMs: 50 }, async ({ dialler }) => {
      const here = new Recorder();
      dialler.connect(testProtocol(), silent.address, here);
      expect(await here.end()).toBe('no answer within 50 ms');
    });
    silent.close();
  });

  it('tells an address where nobody listens from a server that it does not understand, or that hangs up', async () => {
    const talkers: Readonly<Record<string, (socket: net.Socket) => void>> = {
      gibberish: (socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n'),
      'an older HTTP': (socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'),
      nothing: (socket) => socket.destroy(),
    };
    await withEnds({}, async ({ dialler }) => {
      for (const [name, talk] of Object.entries(talkers)) {
        const server = net.createServer((socket) => talk(socket.resume().on('error', () => undefined)));
        await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
        const address = `127.0.0.1:${(server.address() as net.AddressInfo).port}`;
        const here = new Recorder();
        dialler.connect(testProtocol(), address, here).send('hello');
        expect([name, await here.end(), here.refused]).toEqual([name, expect.stringMatching(/^UNAVAILABLE: ./), false]);
        await new Promise((resolve) => server.close(resolve));
        const nobody = new Recorder();
        dialler.connect(testProtocol(), address, nobody).send('hello');
        expect([await nobody.end(), nobody.refused]).toEqual([expect.stringContaining('ECONNREFUSED'), true]);
      }
    });
  });

  it('tells both ends when the server stops', async () => {
    await withEnds({}, async ({ dialler, serving, server, listen }) => {
      const [here, there] = [new Recorder(), new Recorder()];
      serving.serve(testProtocol(), () => there);
      dialler.connect(testProtocol(), await listen(), here).send('hello');
      await there.count(1);
      const stopped = server.stop({ drainMs: 0 });
      expect(await here.end()).toBe('UNAVAILABLE: the server is stopping; use another one');
      expect(await there.end()).toBe('the server is stopping; use another one');
      await stopped;
    });
  });

  it('dials anew at an address that came back', async () => {
    await withEnds({ reconnectMinMs: 10, reconnectMaxMs: 20 }, async ({ dialler, serving, server, listen }) => {
      const protocol = testProtocol();
      serving.serve(protocol, () => new Recorder());
      const address = await listen();
      const first = new Recorder();
      dialler.connect(protocol, address, first);
      await server.stop({ drainMs: 0 });
      await first.end();
      const again = new GrpcServer({ log: silentLog, fault: () => undefined });
      const there = new Recorder();
      grpcTransport({ log: silentLog, fault: () => undefined, channels: new GrpcChannels(), server: again }).serve(
        protocol,
        () => there,
      );
      await again.listen(address);
      let here: Recorder;
      let connection: Connection<unknown>;
      do {
        here = new Recorder();
        connection = dialler.connect(protocol, address, here);
        connection.send('back');
        await Promise.race([here.end(), there.count(1)]);
      } while (there.received.length === 0);
      expect(there.received).toEqual(['back']);
      connection.close();
      await again.stop({ drainMs: 0 });
    });
  });

  it('will not serve without a server', () => {
    const dialling = grpcTransport({ log: silentLog, fault: () => undefined, channels: new GrpcChannels() });
    expect(() => dialling.serve(testProtocol(), () => new Recorder())).toThrow(/has no server/);
  });
});
