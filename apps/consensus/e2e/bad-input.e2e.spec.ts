import { connect as connectSocket } from 'node:net';
import { serviceDefinition } from '@synod/contracts';
import { GrpcChannels, statusOf } from '@synod/rpc';
import fc from 'fast-check';
import { ACCESS_RULES } from '../src/services/access-rules';
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

beforeAll(async () => {
  cluster = await TestCluster.start(1);
  [member] = cluster.members as [TestMember];
  for (const key of ['a', 'b', 'c']) await put(key);
});

afterAll(async () => {
  channels.close();
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
/** INTERNAL: an exception that nobody thought of. */
const INTERNAL = 13;

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
        expect([shown, outcome.code]).not.toEqual([shown, INTERNAL]);
        if (outcome.code !== 0) expect([shown, after]).toEqual([shown, before]);
      }
      before = after;
    }
  }
  // OK, INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION: not one wall before everything.
  expect(ended.size).toBeGreaterThanOrEqual(4);
  expect(await put('after')).toMatchObject({});
}, 240_000);

it('refuses what is too large in the words of etcd, and what no call is at all', async () => {
  const large = { key: Buffer.from('large'), value: Buffer.alloc(1600 * 1024) };
  const refusal = await channels.callUnary(member.address, KV.Put, large, options).catch(statusOf);
  expect(refusal).toMatchObject({ code: 3, details: 'etcdserver: request is too large' });
  const huge = { ...large, value: Buffer.alloc(17 * 1024 * 1024) };
  expect(await channels.callUnary(member.address, KV.Put, huge, options).catch(statusOf)).toMatchObject({ code: 8 });
  expect(await send(member.address, STREAM, Buffer.from('ff', 'hex'))).toEqual({
    code: 3,
    details: `a request to ${STREAM} cannot be decoded; its bytes are not of the type that the method takes`,
  });
  expect(await send(member.address, '/etcdserverpb.KV/Steal', Buffer.alloc(0))).toMatchObject({ code: 12 });
  expect(await send(member.address, '/no.such/Service', Buffer.alloc(0))).toMatchObject({ code: 12 });
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
