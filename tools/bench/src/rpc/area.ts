import { fork } from 'node:child_process';
import { connect, type ClientHttp2Session } from 'node:http2';
import path from 'node:path';
import { serviceDefinition } from '@synod/contracts';
import { GrpcChannels } from '@synod/rpc';
import { closedLoop, inTurns, ratioTable, type Contender } from '../measure';
import { MESSAGE_BYTES } from './echo-protocol';
import { batchedStream, http2Stream, pipelined, singleStream } from './streams';

const INFLIGHT = 64;
/** What one event-loop turn of a busy service sends to one peer. */
const BATCH = 100;
const ROUNDS = 3;
const SECONDS = 2;

/** One server process and this one as the client: a message by a call of its own or on an open stream, with our kit and with bare HTTP/2. */
export async function rpcArea(say: (text: string) => void): Promise<string> {
  const server = fork(path.join(__dirname, 'echo-server-main.js'), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  try {
    const { grpcPort, http2Port } = await new Promise<{ grpcPort: number; http2Port: number }>((resolve, reject) => {
      server.once('message', (ports) => resolve(ports as { grpcPort: number; http2Port: number }));
      server.once('exit', (code) => reject(new Error(`the echo server ended with exit code ${code}`)));
    });
    const address = `127.0.0.1:${grpcPort}`;
    const session = connect(`http://127.0.0.1:${http2Port}`);
    session.unref();
    const contenders = [
      unary(address),
      http2Request(session),
      pipelined(`stream, ${INFLIGHT} in flight`, singleStream(address), INFLIGHT),
      pipelined(`node:http2 stream, ${INFLIGHT} in flight`, http2Stream(session), INFLIGHT),
      pipelined(`batched stream, ${INFLIGHT} in flight`, batchedStream(address), INFLIGHT),
      pipelined(`batched stream, ${BATCH} at a time`, batchedStream(address), INFLIGHT * BATCH, BATCH),
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

function http2Request(session: ClientHttp2Session): Contender {
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
