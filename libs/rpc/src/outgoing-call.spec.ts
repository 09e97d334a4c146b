import { createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { Http2Dialler } from './http2-dialler';
import { DEFAULT_RPC_LIMITS } from './limits';
import { framed } from './message-reader';
import type { CallEnd } from './outgoing-call';

const HEADERS = { ':status': 200, 'content-type': 'application/grpc' };

let server: Http2Server;
let dialler: Http2Dialler;

/** What a client sees of a server that answers like this. */
async function seen(answer: (stream: ServerHttp2Stream) => void): Promise<CallEnd & { readonly messages: string[] }> {
  server = createServer().on('stream', (stream) => answer(stream.on('error', () => undefined)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  dialler = new Http2Dialler({ ...DEFAULT_RPC_LIMITS, messageBytesMax: 100 });
  const messages: string[] = [];
  const end = await new Promise<CallEnd>((resolve) => {
    dialler.open(`127.0.0.1:${(server.address() as AddressInfo).port}`, '/a.B/C', undefined, {
      answered: () => messages.push('answered'),
      message: (bytes) => messages.push(bytes.toString()),
      ended: resolve,
    });
  });
  return { ...end, messages };
}

afterEach(async () => {
  dialler.close();
  await new Promise((resolve) => server.close(resolve));
});

/** Messages, and trailers behind them. */
const answering =
  (trailers: Record<string, string>, ...messages: Buffer[]) =>
  (stream: ServerHttp2Stream): void => {
    stream.respond(HEADERS, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers(trailers));
    for (const message of messages) stream.write(message);
    stream.end();
  };

it('reads messages, and the status behind them', async () => {
  const told = answering({ 'grpc-status': '9', 'grpc-message': 'nicht m%C3%B6glich' }, framed(Buffer.from('one')));
  expect(await seen(told)).toEqual({
    messages: ['answered', 'one'],
    code: 9,
    details: 'nicht möglich',
    refused: false,
  });
});

it('reads a status that comes at once', async () => {
  const told = await seen((stream) => stream.respond({ ...HEADERS, 'grpc-status': 12 }, { endStream: true }));
  expect(told).toEqual({ messages: [], code: 12, details: '', refused: false });
});

it.each([
  ['a status that it does not know', answering({ 'grpc-status': '99' }), 2, ''],
  ['no status', answering({}), 14, 'the connection was lost'],
  ['text that is not decodable', answering({ 'grpc-status': '5', 'grpc-message': '100%' }), 5, '100%'],
  [
    'a message over its bound',
    answering({}, framed(Buffer.alloc(101))),
    8,
    'grpc: received message larger than max (101 vs. 100)',
  ],
  [
    'a compressed message',
    answering({}, Buffer.from([1, 0, 0, 0, 1, 0])),
    13,
    'grpc: compressed flag set with identity or empty encoding',
  ],
  [
    'another answer than one of gRPC',
    (stream: ServerHttp2Stream): void => stream.respond({ ':status': 502 }, { endStream: true }),
    2,
    'HTTP status 502',
  ],
  [
    'a connection that is cut',
    (stream: ServerHttp2Stream): void => stream.session?.destroy(),
    14,
    expect.stringMatching(/./) as string,
  ],
])('makes an end of %s', async (_, answer, code, details) => {
  expect(await seen(answer)).toMatchObject({ code, details, refused: false });
});

it('leaves no stream open behind a call that the server has ended: the connection is closed behind the last', async () => {
  let closed: Promise<void> | undefined;
  await seen((stream) => {
    closed = new Promise((resolve) => stream.session?.once('close', () => resolve()));
    answering({ 'grpc-status': '0' })(stream);
  });
  await closed;
});
