import { fork } from 'node:child_process';
import { connect } from 'node:http2';
import path from 'node:path';
import { serviceDefinition } from '@synod/contracts';
import { GrpcChannels, grpcTransport } from '@synod/rpc';
import { silentLog } from '@synod/runtime';
import { closedLoop, inTurns, ratioTable, type Contender, type Sample } from '../measure';
import { echoProtocol, MESSAGE_BYTES } from './echo-protocol';

const INFLIGHT = 64;
/** What one event-loop turn of a busy service sends to one peer. */
const BATCH = 100;
const ROUNDS = 3;
const SECONDS = 2;

/** One server process and this one as the client: a call by itself, a message on an open stream, batches on an open stream, bare HTTP/2. */
export async function rpcArea(say: (text: string) => void): Promise<string> {
  const server = fork(path.join(__dirname, 'echo-server-main.js'), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  try {
    const { grpcPort, http2Port } = await new Promise<{ grpcPort: number; http2Port: number }>((resolve, reject) => {
      server.once('message', (ports) => resolve(ports as { grpcPort: number; http2Port: number }));
      server.once('exit', (code) => reject(new Error(`the echo server ended with exit code ${code}`)));
    });
    const address = `127.0.0.1:${grpcPort}`;
    const contenders = [
      unary(address),
      bareHttp2(http2Port),
      stream(`stream, ${INFLIGHT} messages in flight`, address, INFLIGHT, 1),
      stream(`stream, batches of ${BATCH}`, address, INFLIGHT * BATCH, BATCH),
    ];
    return ratioTable(await inTurns(contenders, { rounds: ROUNDS, seconds: SECONDS, say }));
  } finally {
    server.kill('SIGKILL');
  }
}

function unary(address: string): Contender {
  const channels = new GrpcChannels();
  const method = serviceDefinition('grpc.health.v1.Health').Check;
  return {
    name: `unary call, ${INFLIGHT} in flight`,
    run: (seconds) =>
      closedLoop(INFLIGHT, seconds, async () => {
        await channels.callUnary(address, method, {}, { deadlineMs: 10_000 });
      }),
  };
}

function bareHttp2(port: number): Contender {
  const session = connect(`http://127.0.0.1:${port}`);
  session.unref();
  const body = Buffer.alloc(MESSAGE_BYTES);
  const request = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const stream = session.request({ ':method': 'POST', ':path': '/' });
      stream.on('error', reject);
      stream.on('end', resolve);
      stream.resume();
      stream.end(body);
    });
  return {
    name: `node:http2 request, ${INFLIGHT} in flight`,
    run: (seconds) => closedLoop(INFLIGHT, seconds, request),
  };
}

/** Echoes on one open stream. `window` messages are under way; the next `batch` go out once as many have come back. */
function stream(name: string, address: string, window: number, batch: number): Contender {
  const transport = grpcTransport({
    channels: new GrpcChannels(),
    log: silentLog,
    fault: (error) => {
      throw error;
    },
  });
  const body = Buffer.alloc(MESSAGE_BYTES);
  const run = (seconds: number): Promise<Sample> =>
    new Promise((resolve, reject) => {
      const sentAt: number[] = [];
      const latenciesMs: number[] = [];
      let operations = 0;
      let free = window;
      const startedAt = performance.now();
      const endsAt = startedAt + seconds * 1000;
      const refill = (): void => {
        const now = performance.now();
        if (now >= endsAt) {
          connection.close();
          resolve({ operations, seconds: (now - startedAt) / 1000, latenciesMs });
          return;
        }
        for (; free >= batch; free -= batch) {
          sentAt.push(now);
          for (let sent = 0; sent < batch; sent++) connection.send(body);
        }
      };
      const connection = transport.connect(echoProtocol, address, {
        receive: () => {
          operations++;
          free++;
          if (operations % batch !== 0) return;
          latenciesMs.push(performance.now() - (sentAt.shift() ?? 0));
          refill();
        },
        closed: (reason) => reject(new Error(`the stream broke: ${reason}`)),
      });
      refill();
    });
  return { name, run };
}
