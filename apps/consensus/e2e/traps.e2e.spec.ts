import { serviceDefinition } from '@synod/contracts';
import { KvStream } from '@synod/coordination';
import { eventually, succeeds } from '@synod/eventually';
import { GrpcChannels } from '@synod/rpc';
import { SynodError } from '@synod/runtime';
import { callerOver, leaderAmong } from './caller';
import { TestCluster, type TestMember } from './test-cluster';

// Bugs that etcd had, as far as it takes processes to see them; the README of this service names where the others are tested.
const KV = serviceDefinition('etcdserverpb.KV');
const MAINTENANCE = serviceDefinition('etcdserverpb.Maintenance');

const channels = new GrpcChannels();
let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.start(3);
});

afterAll(async () => {
  for (const member of cluster.members) member.signal('SIGCONT');
  await cluster.destroy();
  channels.close();
});

const call = callerOver(channels);

const bytes = (text: string): Buffer => Buffer.from(text);
const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

const leader = (except: readonly TestMember[] = []): Promise<TestMember> =>
  leaderAmong(
    call,
    cluster.members.filter((each) => !except.includes(each)),
  );

/** Until the channel to a member that was away, which waits between two attempts, has found it again. */
async function reach(member: TestMember): Promise<void> {
  await eventually(`${member.id} to answer`, () => call(member, MAINTENANCE.Status, {}).catch(() => undefined));
}

/** Puts until it is acknowledged; what came to nothing for certain, or perhaps, is put again. */
async function put(member: TestMember, key: string, value: string): Promise<void> {
  const request = { key: bytes(key), value: bytes(value) };
  await eventually(`a put of ${key} to be acknowledged`, () => succeeds(call(member, KV.Put, request)));
}

// etcd#20418: a leader whose process had been paused answered reads from before the pause.
it('etcd#20418: a leader that was stopped while another one wrote answers no read from before', async () => {
  const stopped = await leader();
  await put(stopped, 'k', 'old');
  stopped.signal('SIGSTOP');
  const next = await leader([stopped]);
  await put(next, 'k', 'new');
  // They wait in its sockets until it goes on.
  const reads = Array.from({ length: 20 }, () => call(stopped, KV.Range, { key: bytes('k') }));
  await pause();
  stopped.signal('SIGCONT');
  const values = (await Promise.all(reads)).map(({ kvs }) => kvs[0]?.value.toString());
  expect(new Set(values)).toEqual(new Set(['new']));
});

// etcd#14685: a crash while defragmenting left an older state; etcd#20271: a crash left a database that did not open.
it('etcd#14685, #20271: members killed while they defragment, compact and save snapshots have everything', async () => {
  for (const member of cluster.members) {
    const others = cluster.members.filter((each) => each !== member) as [TestMember, TestMember];
    let busy = true;
    let acknowledged = 0;
    const writer = (async () => {
      while (busy)
        await put(others[0], `w-${member.id}-${acknowledged % 20}`, String(acknowledged++).padEnd(2_000, '.'));
    })();
    const chores = (async () => {
      while (busy) {
        const compacted = call(others[1], KV.Range, { key: bytes('w') }).then(({ header }) =>
          call(others[1], KV.Compact, { revision: String(BigInt(header?.revision ?? 1) - 1n) }),
        );
        const snapshot = channels.callServerStream(member.address, MAINTENANCE.Snapshot, {}, {});
        const saved = (async () => {
          let size = 0;
          for await (const { blob } of snapshot) size += blob.length;
          return size;
        })();
        // Each may end with the member, or have no leader for a while.
        await Promise.allSettled([call(member, MAINTENANCE.Defragment, {}), compacted, saved]);
      }
    })();
    try {
      await eventually('30 puts to be acknowledged', () => acknowledged >= 30);
      await member.kill('SIGKILL');
    } finally {
      busy = false;
    }
    await Promise.all([writer, chores]);
    member.start();
    await member.ready();
    await reach(member);
  }
  const answers = await Promise.all(
    cluster.members.map((member) => call(member, KV.Range, { key: bytes('w'), rangeEnd: bytes('x') })),
  );
  expect(answers[0]?.count).toBe('60');
  const revision = answers.map(({ header }) => BigInt(header?.revision ?? 0)).reduce((a, b) => (a < b ? a : b));
  const hashes = await Promise.all(
    cluster.members.map((member) => call(member, MAINTENANCE.HashKV, { revision: String(revision) })),
  );
  expect(new Set(hashes.map(({ hash }) => hash)).size).toBe(1);
}, 120_000);

// As etcd#14143, on our own stream: many puts are on their way when the leader dies, and each comes to yes, no or unknown.
it('loses no put that a stream through a follower acknowledged while the leader was killed', async () => {
  const killed = await leader();
  const [follower] = cluster.members.filter((member) => member !== killed) as [TestMember];
  const stream = new KvStream(channels, follower.address);
  const outcomes = new Map<string, string>();
  const asked: Promise<void>[] = [];
  let died: Promise<unknown> | undefined;
  const ask = (key: string): void => {
    const put = stream.put({ key: bytes(key), value: bytes(key) });
    const settled = put.then(
      () => 'yes',
      (error: unknown) => (error instanceof SynodError ? error.kind : String(error)),
    );
    asked.push(settled.then((outcome) => void outcomes.set(key, outcome)));
  };
  const acknowledged = (): string[] => [...outcomes].flatMap(([key, outcome]) => (outcome === 'yes' ? [key] : []));
  for (let batch = 0; batch < 40; batch++) {
    for (let index = 0; index < 20; index++) ask(`s/${batch}/${index}`);
    if (batch === 20) {
      await eventually('100 puts to be acknowledged', () => acknowledged().length >= 100);
      died = killed.kill('SIGKILL');
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  await Promise.all([...asked, died]);
  // Another leader has taken over, to which the same stream leads: with the first put, unless one more election is just then.
  await leader([killed]);
  await eventually('a put to be acknowledged', async () => {
    expect(stream.isOpen).toBe(true);
    const put = stream.put({ key: bytes('s/last'), value: bytes('1') }).then(() => 'yes');
    const outcome = await put.catch((error: unknown) => (error instanceof SynodError ? error.kind : String(error)));
    expect(['yes', 'outcome-unknown', 'unavailable']).toContain(outcome);
    return outcome === 'yes';
  });
  const { kvs } = await stream.range({ key: bytes('s/'), rangeEnd: bytes('s0') });
  stream.close();
  const held = new Set(kvs.map(({ key }) => key.toString()));
  const lost = acknowledged().filter((key) => !held.has(key));
  expect(lost).toEqual([]);
  expect(outcomes.size).toBe(800);
  for (const [key, outcome] of outcomes) {
    expect(['yes', 'outcome-unknown', 'unavailable', 'overloaded']).toContain(outcome);
    // A no is a no.
    if (outcome === 'unavailable' || outcome === 'overloaded') expect([key, held.has(key)]).toEqual([key, false]);
  }
  killed.start();
  await killed.ready();
});
