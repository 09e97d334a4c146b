import type { ClientHttp2Session } from 'node:http2';
import { GrpcChannels, grpcTransport } from '@synod/rpc';
import { silentLog } from '@synod/runtime';
import type { Contender, Sample } from '../measure';
import { echoProtocol, MESSAGE_BYTES, SINGLE_MESSAGES } from './echo-protocol';

/** An open stream to a server that sends back what it gets. */
interface EchoStream {
  send(message: Buffer): void;
  close(): void;
}

interface EchoHandler {
  /** So many messages have come back. */
  readonly received: (count: number) => void;
  readonly broken: (reason: string) => void;
}

type OpenEcho = (handler: EchoHandler) => EchoStream;

/** What services talk over: our kit's transport, where one turn of the event loop makes one gRPC message. */
export function batchedStream(address: string): OpenEcho {
  const transport = grpcTransport({
    channels: new GrpcChannels(),
    log: silentLog,
    fault: (error) => {
      throw error;
    },
  });
  return ({ received, broken }) =>
    transport.connect(echoProtocol, address, { receive: () => received(1), closed: broken });
}

/** Our kit without its batches: a gRPC message for every message, both ways. */
export function singleStream(address: string): OpenEcho {
  const channels = new GrpcChannels();
  return ({ received, broken }) => {
    const call = channels.openBytes(address, SINGLE_MESSAGES);
    call.on('data', () => received(1));
    call.on('error', (error) => broken(error.message));
    return { send: (message) => void call.write(message), close: () => call.end() };
  };
}

/** Bare HTTP/2: bytes on one stream, of which `MESSAGE_BYTES` are a message. */
export function http2Stream(session: ClientHttp2Session): OpenEcho {
  return ({ received, broken }) => {
    const stream = session.request({ ':method': 'POST', ':path': '/' });
    let bytes = 0;
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      const whole = Math.floor(bytes / MESSAGE_BYTES);
      bytes -= whole * MESSAGE_BYTES;
      if (whole > 0) received(whole);
    });
    stream.on('error', (error: Error) => broken(error.message));
    return { send: (message) => void stream.write(message), close: () => stream.end() };
  };
}

/** Keeps `window` messages under way on one stream; the next `batch` go out once as many have come back. */
export function pipelined(name: string, open: OpenEcho, window: number, batch = 1): Contender {
  const body = Buffer.alloc(MESSAGE_BYTES);
  const run = (seconds: number): Promise<Sample> =>
    new Promise((resolve, reject) => {
      const sentAt: number[] = [];
      const latenciesMs: number[] = [];
      let operations = 0;
      let free = window;
      let over = false;
      const startedAt = performance.now();
      const endsAt = startedAt + seconds * 1000;
      const refill = (): void => {
        const now = performance.now();
        if (now >= endsAt) {
          over = true;
          stream.close();
          resolve({ operations, seconds: (now - startedAt) / 1000, latenciesMs });
          return;
        }
        for (; free >= batch; free -= batch) {
          sentAt.push(now);
          for (let sent = 0; sent < batch; sent++) stream.send(body);
        }
      };
      const stream = open({
        received: (count) => {
          if (over) return;
          const complete = Math.floor((operations + count) / batch) - Math.floor(operations / batch);
          operations += count;
          free += count;
          const now = performance.now();
          for (let batches = 0; batches < complete; batches++) latenciesMs.push(now - (sentAt.shift() ?? 0));
          if (complete > 0) refill();
        },
        broken: (reason) => reject(new Error(`${name}: the stream broke: ${reason}`)),
      });
      refill();
    });
  return { name, run };
}
