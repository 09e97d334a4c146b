import { connect, constants, type ClientHttp2Session } from 'node:http2';
import { closedLoop, type Sample } from '../measure';
import type { PreparedCall } from './calls';

/** Streams that one connection carries at a time, as gRPC clients do it. */
const STREAMS_PER_CONNECTION = 64;

/** Makes calls over bare HTTP/2 with bytes made before: the cost of a gRPC client does not hide the server's. */
export class Http2Load {
  private readonly sessions: ClientHttp2Session[];
  private next = 0;

  constructor(address: string, inflight: number) {
    const connections = Math.ceil(inflight / STREAMS_PER_CONNECTION);
    this.sessions = Array.from({ length: connections }, () => connect(`http://${address}`));
    // An error of a connection is told by each of its calls.
    for (const session of this.sessions) session.on('error', () => undefined);
  }

  /** Resolves once the server answered OK. */
  call({ path, body }: PreparedCall): Promise<void> {
    const session = this.sessions[this.next++ % this.sessions.length];
    if (session === undefined) return Promise.reject(new Error('closed'));
    return new Promise((resolve, reject) => {
      const stream = session.request({
        [constants.HTTP2_HEADER_METHOD]: 'POST',
        [constants.HTTP2_HEADER_PATH]: path,
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      let status: string | undefined;
      const take = (headers: Record<string, unknown>): void => {
        status ??= headers['grpc-status'] as string | undefined;
      };
      stream.on('response', take);
      stream.on('trailers', take);
      stream.on('error', reject);
      stream.on('close', () => {
        if (status === '0') resolve();
        else reject(new Error(`${path} was answered with gRPC status ${status ?? 'none'}`));
      });
      stream.resume();
      stream.end(body);
    });
  }

  close(): void {
    for (const session of this.sessions) session.destroy();
    this.sessions.length = 0;
  }
}

/** Keeps `inflight` calls going for `seconds`; each is drawn anew. */
export async function http2Load(
  address: string,
  draw: () => PreparedCall,
  inflight: number,
  seconds: number,
): Promise<Sample> {
  const load = new Http2Load(address, inflight);
  try {
    return await closedLoop(inflight, seconds, () => load.call(draw()));
  } finally {
    load.close();
  }
}
