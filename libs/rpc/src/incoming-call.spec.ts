import { EventEmitter } from 'node:events';
import {
  connect,
  type ClientHttp2Session,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
  type Settings,
} from 'node:http2';
import { silentLog } from '@synod/runtime';
import { CallGate } from './call-gate';
import { StatusError } from './error-table';
import { IncomingCall } from './incoming-call';
import { DEFAULT_RPC_LIMITS } from './limits';
import { framed } from './message-reader';
import { noObserver } from './observer';
import { withServer } from './test-server';
import { status } from '@grpc/grpc-js';
import type { GrpcServer } from './grpc-server';

const RANGE = '/etcdserverpb.KV/Range';
let served = 0;

function kv(server: GrpcServer): void {
  server.addService('etcdserverpb.KV', {
    Range: () => {
      served++;
      return { count: '7' };
    },
    Put: () => Promise.reject(new StatusError(status.NOT_FOUND, 'nicht da: 100 % ä\n')),
  });
}

interface Reply {
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** Sends chunks, and leaves the request open if told so. */
function request(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  chunks: readonly Buffer[],
  leave: 'ended' | 'open' = 'ended',
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': RANGE,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    let [head, trailers]: IncomingHttpHeaders[] = [{}, {}];
    const body: Buffer[] = [];
    stream.on('response', (given) => (head = given));
    stream.on('trailers', (given: IncomingHttpHeaders) => (trailers = given));
    stream.on('data', (chunk: Buffer) => body.push(chunk));
    stream.on('error', reject);
    stream.on('end', () => {
      resolve({ headers: head ?? {}, trailers: trailers ?? {}, body: Buffer.concat(body) });
      stream.close();
    });
    for (const chunk of chunks) stream.write(chunk);
    if (leave === 'ended') stream.end();
  });
}

async function session(scenario: (session: ClientHttp2Session) => Promise<void>): Promise<void> {
  await withServer({}, kv, async ({ address }) => {
    const open = connect(`http://${address}`);
    try {
      await scenario(open);
    } finally {
      open.close();
    }
  });
}

const empty = framed(Buffer.alloc(0));

describe('a call, seen from its HTTP/2 stream', () => {
  it('is answered by headers, a message, and a status in the trailers', () =>
    session(async (open) => {
      const { headers, trailers, body } = await request(open, { 'x-trace-id': 'mine' }, [empty]);
      expect(headers).toMatchObject({ ':status': 200, 'content-type': 'application/grpc+proto' });
      expect(trailers).toMatchObject({ 'grpc-status': '0', 'x-trace-id': 'mine' });
      expect(body).toEqual(framed(Buffer.from([0x20, 7])));
    }));

  it('is answered as soon as its message is whole, and served once whatever follows', () =>
    session(async (open) => {
      const before = served;
      const [head, tail] = [empty.subarray(0, 3), empty.subarray(3)];
      expect((await request(open, {}, [head, tail], 'open')).trailers['grpc-status']).toBe('0');
      expect((await request(open, {}, [empty, empty, Buffer.from('noise')])).trailers['grpc-status']).toBe('0');
      expect(served - before).toBe(2);
    }));

  it('says what went wrong in one frame, its text percent-encoded', () =>
    session(async (open) => {
      const { headers } = await request(open, { ':path': '/etcdserverpb.KV/Put' }, [empty]);
      expect(headers).toMatchObject({
        ':status': 200,
        'grpc-status': '5',
        'grpc-message': 'nicht da: 100 %25 %C3%A4%0A',
      });
    }));

  it.each([
    ['no request message', {}, [], '12'],
    ['half a request message', {}, [empty.subarray(0, 3)], '13'],
    ['a malformed time-out', { 'grpc-timeout': 'soon' }, [empty], '13'],
    ['an unknown method', { ':path': '/no.such/Method' }, [empty], '12'],
    ['a compressed message', { 'grpc-encoding': 'gzip' }, [Buffer.from([1, 0, 0, 0, 0])], '12'],
  ])('is refused with %s', (_, headers, chunks, code) =>
    session(async (open) => {
      const before = served;
      const reply = await request(open, headers, chunks);
      expect(reply.headers['grpc-status'] ?? reply.trailers['grpc-status']).toBe(code);
      if ('grpc-encoding' in headers) expect(reply.headers['grpc-accept-encoding']).toBe('identity');
      expect(served).toBe(before);
    }),
  );

  it('is one of gRPC, by its content type', () =>
    session(async (open) => {
      expect((await request(open, { 'content-type': 'text/plain' }, [empty])).headers[':status']).toBe(415);
    }));

  it('is one of a bounded number on its connection', () =>
    session(async (open) => {
      const settings = await new Promise<Settings>((resolve) => open.once('remoteSettings', resolve));
      expect(settings.maxConcurrentStreams).toBe(4_096);
    }));

  it('takes a time-out that no timer can hold', () =>
    session(async (open) => {
      expect((await request(open, { 'grpc-timeout': '99999999H' }, [empty])).trailers['grpc-status']).toBe('0');
    }));
});

describe('a call that is over', () => {
  function over(): IncomingCall {
    const stream = new EventEmitter();
    const call = new IncomingCall(stream as unknown as ServerHttp2Stream, {}, 1_000, Infinity);
    stream.emit('close');
    return call;
  }

  it('says so at once to whoever asks later', () => {
    let told = 0;
    over().onClosed(() => told++);
    expect(told).toBe(1);
  });

  it('is not served as a stream: nothing would ever end it', async () => {
    const fault = (): void => undefined;
    const calls = new CallGate(DEFAULT_RPC_LIMITS, silentLog, noObserver, fault, 'explicit');
    const policy = { method: '/a.B/C', stream: true, exempt: false, deadlineMsMax: Infinity };
    const work = jest.fn(() => new Promise<void>(() => undefined));
    expect(await calls.run(over(), policy, work)).toMatchObject({ kind: 'failed' });
    expect(work).not.toHaveBeenCalled();
  });
});
