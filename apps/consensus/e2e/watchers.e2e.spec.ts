import { connect, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import { serviceDefinition, type etcdserverpb } from '@synod/contracts';
import { eventually } from '@synod/eventually';
import { GrpcChannels } from '@synod/rpc';
import { TestCluster, type TestMember } from './test-cluster';

const KV = serviceDefinition('etcdserverpb.KV');
const WATCH = serviceDefinition('etcdserverpb.Watch');

const WATCHERS = 10_000;
const STREAMS_PER_MEMBER = 4;
/** Asked for before the answers are waited for. */
const CREATED_AT_ONCE = 250;
/** Keys that are written, of those that are watched, and how often each. */
const WRITTEN = 150;
const WRITES = 2;

const STALLED_STREAMS = 20;
const WATCHES_OF_EACH = 10;
const VALUE_BYTES = 100_000;
const PUTS = 100;
/** If every event that is owed were kept, it would be 2 GB. */
const GROWTH_MAX_KB = 200_000;

const channels = new GrpcChannels();
const sessions: ClientHttp2Session[] = [];
let cluster: TestCluster;
const bytes = (text: string): Buffer => Buffer.from(text);

beforeAll(async () => {
  cluster = await TestCluster.start(3);
});

afterAll(async () => {
  for (const session of sessions) session.destroy();
  await cluster.destroy();
  channels.close();
});

async function put(member: TestMember, key: string, value: string | Buffer): Promise<bigint> {
  const request = { key: bytes(key), value: Buffer.from(value) };
  return BigInt((await channels.callUnary(member.address, KV.Put, request, { deadlineMs: 20_000 })).header!.revision);
}

/** Many watches, each on a key of its own, on few streams; every event is noted under the watch that got it. */
class Watchers {
  readonly heard = new Map<string, string[]>();
  private readonly keys = new Map<string, string>();
  private created = 0;
  events = 0;
  lost: Error | undefined;

  constructor(private readonly streams: number) {}

  async watch(members: readonly TestMember[], count: number): Promise<void> {
    const open = Array.from({ length: this.streams * members.length }, (_, stream) =>
      channels.openStream(members[stream % members.length]!.address, WATCH.Watch, {
        receive: (response) => this.receive(stream, response),
        closed: (error) => (this.lost = error ?? new Error('the server ended a stream')),
      }),
    );
    for (let made = 0; made < count; made++) {
      const stream = made % open.length;
      const id = Math.floor(made / open.length) + 1;
      this.keys.set(`${stream}/${id}`, `w/${made}`);
      open[stream]!.send({ createRequest: { key: bytes(`w/${made}`), watchId: String(id) } });
      if ((made + 1) % CREATED_AT_ONCE === 0) await this.until(`${made + 1} watches`, () => this.created === made + 1);
    }
    await this.until(`${count} watches`, () => this.created === count);
  }

  async until(what: string, done: () => boolean): Promise<void> {
    await eventually(what, () => {
      if (this.lost !== undefined) throw this.lost;
      return done();
    });
  }

  private receive(stream: number, { created, watchId, events }: etcdserverpb.WatchResponse__Output): void {
    if (created) this.created++;
    const watched = this.keys.get(`${stream}/${watchId}`) ?? 'nobody';
    for (const { kv } of events) {
      const heard = this.heard.get(watched) ?? [];
      this.heard.set(watched, [...heard, `${kv?.key.toString()}=${kv?.value.toString()}`]);
      this.events++;
    }
  }
}

it('ten thousand watchers on three members each get what they watch, in order, and nothing else', async () => {
  const watchers = new Watchers(STREAMS_PER_MEMBER);
  await watchers.watch(cluster.members, WATCHERS);
  const written = Array.from({ length: WRITTEN }, (_, index) => (index * WATCHERS) / WRITTEN).map(Math.floor);
  const expected = new Map<string, string[]>();
  let next = 0;
  const writer = async (): Promise<void> => {
    for (let index = next++; index < WRITTEN; index = next++) {
      const key = `w/${written[index]}`;
      const values = Array.from({ length: WRITES }, (_, write) => `${index}.${write}`);
      expected.set(
        key,
        values.map((value) => `${key}=${value}`),
      );
      for (const value of values) await put(cluster.members[index % 3]!, key, value);
    }
  };
  await Promise.all(Array.from({ length: 16 }, writer));
  await watchers.until('every event', () => watchers.events >= WRITTEN * WRITES);
  // One more, that everybody hears of in turn, so that whatever came twice would have come by now.
  await Promise.all([0, 1, 2].map((member) => put(cluster.members[member]!, `w/${member + 1}`, 'last')));
  await watchers.until('the last events', () => watchers.events >= WRITTEN * WRITES + 3);
  for (const last of [1, 2, 3]) expected.set(`w/${last}`, [...(expected.get(`w/${last}`) ?? []), `w/${last}=last`]);
  expect(watchers.heard).toEqual(expected);
}, 180_000);

/** A client that asks for watches and then reads nothing, until it is told to. */
class Staller {
  readonly stream: ClientHttp2Stream;
  readonly revisions = new Map<string, bigint[]>();
  private pending = Buffer.alloc(0);

  constructor(member: TestMember) {
    const session = connect(`http://${member.address}`);
    session.on('error', () => undefined);
    sessions.push(session);
    this.stream = session.request({
      ':method': 'POST',
      ':path': WATCH.Watch.path,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    this.stream.on('error', () => undefined);
    for (let watch = 1; watch <= WATCHES_OF_EACH; watch++) {
      const create = { key: bytes('big'), watchId: String(watch), startRevision: '1' };
      const message = WATCH.Watch.requestSerialize({ createRequest: create });
      const head = Buffer.alloc(5);
      head.writeUInt32BE(message.length, 1);
      this.stream.write(Buffer.concat([head, message]));
    }
  }

  /** Reads until every watch has so many events. */
  async read(count: number): Promise<void> {
    this.stream.on('data', (chunk: Buffer) => {
      this.pending = Buffer.concat([this.pending, chunk]);
      this.take();
    });
    await eventually(`${count} events of every watch that stood still`, () => {
      const lists = [...this.revisions.values()];
      return lists.length === WATCHES_OF_EACH && lists.every(({ length }) => length >= count);
    });
  }

  private take(): void {
    while (this.pending.length >= 5) {
      const end = 5 + this.pending.readUInt32BE(1);
      if (this.pending.length < end) return;
      const { watchId, events } = WATCH.Watch.responseDeserialize(this.pending.subarray(5, end));
      this.pending = this.pending.subarray(end);
      for (const { kv } of events) {
        this.revisions.set(watchId, [...(this.revisions.get(watchId) ?? []), BigInt(kv?.modRevision ?? 0)]);
      }
    }
  }
}

it('two hundred watches whose clients read nothing cost little memory, hold nobody up, and go on where they were', async () => {
  const member = cluster.members[0]!;
  const stallers = Array.from({ length: STALLED_STREAMS }, () => new Staller(member));
  const reading = new Watchers(1);
  const heard: bigint[] = [];
  const quick = channels.openStream(member.address, WATCH.Watch, {
    receive: ({ events }) => {
      for (const { kv } of events) heard.push(BigInt(kv?.modRevision ?? 0));
    },
    closed: (error) => (reading.lost = error),
  });
  quick.send({ createRequest: { key: bytes('big'), startRevision: '1' } });

  // Everybody is full before memory is looked at: what one event costs each is not what is measured.
  const revisions: bigint[] = [];
  const write = async (): Promise<void> => {
    revisions.push(await put(member, 'big', Buffer.alloc(VALUE_BYTES, revisions.length)));
  };
  for (let warm = 0; warm < 5; warm++) await write();
  const before = member.anonymousKilobytes;
  let most = before;
  while (revisions.length < PUTS) {
    await write();
    most = Math.max(most, member.anonymousKilobytes);
  }
  process.stdout.write(`RssAnon of a member with ${STALLED_STREAMS * WATCHES_OF_EACH} stalled watches: `);
  process.stdout.write(
    `${Math.round(before / 1_000)} MB before ${PUTS} events of 100 kB, at most ${Math.round(most / 1_000)} MB\n`,
  );
  expect(most - before).toBeLessThan(GROWTH_MAX_KB);
  await eventually('the watch that is read to have every event', () => heard.length >= PUTS);
  expect(heard).toEqual(revisions);

  const [late, ...others] = stallers;
  for (const { stream } of others) stream.close();
  await late!.read(PUTS);
  for (const got of late!.revisions.values()) expect(got).toEqual(revisions);
}, 180_000);
