import { connect as connectHttp2, type ClientHttp2Session, type IncomingHttpHeaders } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { serviceDefinition, type MessageShape, type MethodDefinition } from '@synod/contracts';
import { GrpcChannels } from '@synod/rpc';
import fc from 'fast-check';
import { ACCESS_RULES, type ServedService } from '../src/services/access-rules';
import { TestCluster, type TestMember } from './test-cluster';

/** The same messages at every run; another seed, or more of them, for those who look for trouble. */
const SEED = Number(process.env['SYNOD_FUZZ_SEED'] ?? 1);
const MESSAGES = Number(process.env['SYNOD_FUZZ_MESSAGES'] ?? 12);
/** A call that waits for a lock, or a stream, is left after this. */
const PATIENCE_MS = 300;

const KV = serviceDefinition('etcdserverpb.KV');
const channels = new GrpcChannels();
let cluster: TestCluster;
let member: TestMember;
let session: ClientHttp2Session;

beforeAll(async () => {
  cluster = await TestCluster.start(1);
  [member] = cluster.members as [TestMember];
  session = connectHttp2(`http://${member.address}`);
  for (const key of ['a', 'b', 'c']) await put(key);
});

afterAll(async () => {
  channels.close();
  session.destroy();
  await cluster.destroy();
});

const options = { deadlineMs: 10_000 };

function put(key: string): Promise<unknown> {
  return channels.callUnary(member.address, KV.Put, { key: Buffer.from(key), value: Buffer.from(key) }, options);
}

/** What clients can see, as text. The cluster's own keys change by themselves, and those of leases end: places in queues that were left. */
async function contents(): Promise<string> {
  const request = { key: Buffer.from([1]), rangeEnd: Buffer.from([0]) };
  const { kvs } = await channels.callUnary(member.address, KV.Range, request, options);
  return JSON.stringify(kvs.filter(({ lease }) => lease === '0'));
}

const garbage = fc.uint8Array({ minLength: 1, maxLength: 200 }).map((bytes) => Buffer.from(bytes));
/** Well-formed protobuf of no type in particular: small field numbers, so that many fields are real ones. */
const { message: wellFormed } = fc.letrec<{ message: Buffer; field: Buffer }>((tie) => ({
  field: fc.oneof(
    { maxDepth: 3 },
    fc.tuple(fc.integer({ min: 1, max: 9 }), varint()).map(([field, value]) => Buffer.concat([tag(field, 0), value])),
    fc.tuple(fc.integer({ min: 1, max: 9 }), garbage).map(([field, bytes]) => prefixed(field, bytes)),
    fc.tuple(fc.integer({ min: 1, max: 9 }), fc.string()).map(([field, text]) => prefixed(field, Buffer.from(text))),
    fc.tuple(fc.integer({ min: 1, max: 9 }), tie('message')).map(([field, inner]) => prefixed(field, inner)),
  ),
  message: fc.array(tie('field'), { maxLength: 5 }).map((fields) => Buffer.concat(fields)),
}));
const truncated = wellFormed.filter(({ length }) => length > 1).map((bytes) => bytes.subarray(0, -1));
const messages = fc.oneof(garbage, wellFormed, wellFormed, truncated, fc.constant(Buffer.alloc(0)));

function varint(): fc.Arbitrary<Buffer> {
  const small = fc.nat(3).map((value) => Buffer.from([value]));
  return fc.oneof(
    small,
    fc
      .constantFrom('7f', 'ffffffff0f', 'ffffffffffffffffff01', 'feffffffffffffffff01')
      .map((hex) => Buffer.from(hex, 'hex')),
  );
}

function tag(field: number, wireType: number): Buffer {
  return Buffer.from([(field << 3) | wireType]);
}

function prefixed(field: number, bytes: Buffer): Buffer {
  const length = bytes.length < 128 ? [bytes.length] : [(bytes.length & 0x7f) | 0x80, bytes.length >> 7];
  return Buffer.concat([tag(field, 2), Buffer.from(length), bytes]);
}

/** How a call ended; undefined for one that was left. */
function send(address: string, path: string, bytes: Buffer): Promise<{ code: number; details: string } | undefined> {
  return new Promise((resolve) => {
    const call = channels.openBytes(address, path);
    const timer = setTimeout(() => {
      call.cancel();
      resolve(undefined);
    }, PATIENCE_MS);
    call.on('data', () => undefined);
    call.on('error', () => undefined);
    call.on('status', ({ code, details }: { code: number; details: string }) => {
      clearTimeout(timer);
      resolve({ code, details });
    });
    call.write(bytes);
    call.end();
  });
}

const PATHS = Object.entries(ACCESS_RULES).flatMap(([service, rules]) =>
  Object.keys(rules).map((method) => `/${service}/${method}`),
);
const STREAM = '/synod.consensus.v1.KvStream/Exchange';
/** An exception that nobody thought of, unless it is in the words of etcd for bytes that are no request. */
const INTERNAL = 13;
const UNDECODABLE = /^grpc: (error unmarshalling request:|failed to unmarshal the received message) /;

it('answers every malformed request of every call, and changes nothing by one that it refuses', async () => {
  const ended = new Set<number>();
  for (const [index, path] of PATHS.entries()) {
    let before = await contents();
    for (const bytes of fc.sample(messages, { numRuns: MESSAGES, seed: SEED + index })) {
      const outcome = await send(member.address, path, bytes);
      const after = await contents();
      if (outcome !== undefined) {
        ended.add(outcome.code);
        const shown = `${path} ${bytes.toString('hex')} ended with ${outcome.code} ${outcome.details}`;
        if (!UNDECODABLE.test(outcome.details)) expect([shown, outcome.code]).not.toEqual([shown, INTERNAL]);
        if (outcome.code !== 0) expect([shown, after]).toEqual([shown, before]);
      }
      before = after;
    }
  }
  // OK, INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION: not one wall before everything.
  expect(ended.size).toBeGreaterThanOrEqual(4);
  expect(await put('after')).toMatchObject({});
}, 240_000);

/** A message as it goes on the wire. @param claimed its size, if it is not told as it is */
function frame(message: Buffer, claimed = message.length, compressed = 0): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(compressed);
  head.writeUInt32BE(claimed, 1);
  return Buffer.concat([head, message]);
}

/** How a call ended whose body is these bytes and no more. */
function sendBody(path: string, body: Buffer, headers: Record<string, string> = {}): Promise<[number, string]> {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    const said: IncomingHttpHeaders = {};
    for (const headers of ['response', 'trailers']) {
      stream.on(headers, (all: IncomingHttpHeaders) => void Object.assign(said, all));
    }
    stream.on('error', reject);
    stream.on('close', () =>
      resolve([Number(said['grpc-status']), decodeURIComponent(String(said['grpc-message'] ?? ''))]),
    );
    stream.resume();
    stream.end(body);
  });
}

const RANGE = '/etcdserverpb.KV/Range';
const PUT = '/etcdserverpb.KV/Put';
const TXN = '/etcdserverpb.KV/Txn';
const WATCH = '/etcdserverpb.Watch/Watch';
const KEEP_ALIVE = '/etcdserverpb.Lease/LeaseKeepAlive';
const ALARM = '/etcdserverpb.Maintenance/Alarm';
const LONGER_THAN_IT_IS = Buffer.from('0a0561', 'hex');
const key = prefixed(1, Buffer.from('k'));
const putOf = (bytes: number): Buffer =>
  Buffer.concat([key, Buffer.from([0x12]), varintOf(bytes), Buffer.alloc(bytes)]);
const compareOf = (...fields: Buffer[]): Buffer =>
  frame(prefixed(1, Buffer.concat([...fields, prefixed(3, Buffer.from('k'))])));
const MIB = 1024 * 1024;
const call = (reason: string): string => `grpc: error unmarshalling request: ${reason}`;
const stream = (reason: string): string => `grpc: failed to unmarshal the received message ${reason}`;

function varintOf(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>>= 7) {
    bytes.push(rest > 127 ? (rest & 127) | 128 : rest);
    if (rest <= 127) return Buffer.from(bytes);
  }
}

// Each was sent to etcd 3.4, and is answered with its status and text; the README names where not.
it.each<[string, string, Buffer, number, string]>([
  ['a call that ends in a field', RANGE, frame(LONGER_THAN_IT_IS), 13, call('unexpected EOF')],
  ['a call that ends in a tag', '/v3lockpb.Lock/Lock', frame(Buffer.from('ff', 'hex')), 13, call('unexpected EOF')],
  [
    'a field of no type',
    '/etcdserverpb.Auth/UserAdd',
    frame(Buffer.from('7f', 'hex')),
    13,
    call('proto: illegal wireType 7'),
  ],
  ['a watch that ends in a field', WATCH, frame(LONGER_THAN_IT_IS), 13, stream('unexpected EOF')],
  ['a keep-alive that ends in a tag', KEEP_ALIVE, frame(Buffer.from('ff', 'hex')), 13, stream('unexpected EOF')],
  [
    'a question with many answers',
    '/v3electionpb.Election/Observe',
    frame(LONGER_THAN_IT_IS),
    13,
    stream('unexpected EOF'),
  ],
  ['a request of 1.6 MiB', PUT, frame(putOf(1.6 * MIB)), 3, 'etcdserver: request is too large'],
  [
    'a message of 2.2 MiB',
    PUT,
    frame(putOf(2306867)),
    8,
    'grpc: received message larger than max (2306875 vs. 2097152)',
  ],
  [
    'a message said to be of 3 GiB',
    PUT,
    frame(key, 3 * 2 ** 30),
    8,
    'grpc: received message larger than max (3221225472 vs. 2097152)',
  ],
  [
    'a watch of 2.2 MiB',
    WATCH,
    frame(putOf(2306867)),
    8,
    'grpc: received message larger than max (2306875 vs. 2097152)',
  ],
  [
    'a method that is none',
    '/etcdserverpb.KV/Steal',
    frame(key),
    12,
    'unknown method Steal for service etcdserverpb.KV',
  ],
  ['a service that is none', '/no.such/Service', frame(key), 12, 'unknown service no.such'],
  [
    'a compressed message that names no encoding',
    RANGE,
    frame(key, key.length, 1),
    13,
    'grpc: compressed flag set with identity or empty encoding',
  ],
  // Not as etcd answers them.
  ['a path of one part', '/nosuch', frame(key), 12, 'malformed method name: "/nosuch"'],
  ['a call that ends in a message', RANGE, frame(key, 9), 13, 'the request stream ended in the midst of a message'],
  ['a watch that ends in a message', WATCH, frame(key, 9), 13, 'the request stream ended in the midst of a message'],
  ['a call of no message', RANGE, Buffer.alloc(0), 12, 'the call has no request message'],
  [
    'a comparison that is not known',
    TXN,
    compareOf(Buffer.from([0x08, 9])),
    3,
    'a comparison has a target or a result that this release does not know',
  ],
  [
    'a comparison of what is not known',
    TXN,
    compareOf(Buffer.from([0x10, 9])),
    3,
    'a comparison has a target or a result that this release does not know',
  ],
  [
    'an order that is not known',
    RANGE,
    frame(Buffer.concat([key, Buffer.from([0x28, 9])])),
    3,
    'etcdserver: invalid sort option',
  ],
  [
    'an order by what is not known',
    RANGE,
    frame(Buffer.concat([key, Buffer.from([0x30, 9])])),
    3,
    'etcdserver: invalid sort option',
  ],
  [
    'an act on alarms that is not known',
    ALARM,
    frame(Buffer.from([0x08, 9])),
    3,
    'an alarm has a type or an action that this release does not know',
  ],
])('refuses %s', async (_, path, body, code, text) => {
  const before = await contents();
  expect(await sendBody(path, body)).toEqual([code, text]);
  expect(await contents()).toBe(before);
});

it('refuses bytes that are no request on every call of etcd, of which streams have words of their own', async () => {
  const services = Object.keys(ACCESS_RULES).filter((name) => !name.startsWith('synod.')) as ServedService[];
  for (const service of services) {
    const methods: Readonly<
      Record<string, Pick<MethodDefinition<MessageShape, MessageShape>, 'path' | 'requestStream' | 'responseStream'>>
    > = serviceDefinition(service);
    for (const { path, requestStream, responseStream } of Object.values(methods)) {
      const said = (requestStream || responseStream ? stream : call)('unexpected EOF');
      expect([path, await sendBody(path, frame(Buffer.from('ff', 'hex')))]).toEqual([path, [13, said]]);
    }
  }
});

it('refuses an encoding that it does not speak in the words of etcd, and by its own what is not of its contract', async () => {
  const body = frame(key, key.length, 1);
  expect(await sendBody(RANGE, body, { 'grpc-encoding': 'snappy' })).toEqual([
    12,
    'grpc: Decompressor is not installed for grpc-encoding "snappy"',
  ]);
  expect(await sendBody(STREAM, frame(LONGER_THAN_IT_IS))).toEqual([
    3,
    `a request to ${STREAM} cannot be decoded; its bytes are not of the type that the method takes`,
  ]);
});

it('survives whatever comes to its ports that is no call', async () => {
  const before = await contents();
  const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  const noise = fc.sample(fc.uint8Array({ minLength: 1, maxLength: 4_000 }), { numRuns: 20, seed: SEED });
  const { client, peer, http } = member.ports;
  for (const port of [client, peer, http]) {
    for (const bytes of noise) {
      await shout(port, Buffer.from(bytes));
      await shout(port, Buffer.concat([preface, bytes]));
    }
    await shout(port, Buffer.from('GET / HTTP/1.1\r\n\r\n'));
  }
  expect(await contents()).toBe(before);
});

it('survives whatever a stranger says on the port of its peers', async () => {
  const before = await contents();
  const address = `127.0.0.1:${member.ports.peer}`;
  const paths = ['/synod.peer.v1.Peer/Exchange', '/synod.consensus.v1.Forward/Exchange', '/synod.peer.v1.Peer/Found'];
  // A request to put bytes into the log that are no command: every member would choke on them.
  const propose = (command: Buffer): Buffer =>
    prefixed(1, Buffer.concat([tag(1, 0), Buffer.from([1]), prefixed(2, prefixed(1, command))]));
  const commands = fc.sample(garbage, { numRuns: MESSAGES, seed: SEED }).map(propose);
  for (const path of paths) {
    for (const bytes of [...fc.sample(messages, { numRuns: 2 * MESSAGES, seed: SEED }), ...commands]) {
      await send(address, path, bytes);
    }
  }
  expect(await contents()).toBe(before);
  expect(await put('still there')).toMatchObject({});
}, 120_000);

/** Says something on a port and waits for the end of it. */
function shout(port: number, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    const socket = connectSocket(port, '127.0.0.1', () => socket.write(bytes));
    socket.setTimeout(30, () => socket.destroy());
    socket.on('error', () => undefined);
    socket.on('data', () => undefined);
    socket.on('close', () => resolve());
  });
}
