import { serviceDefinition } from '@synod/contracts';
import { eventually, succeeds } from '@synod/eventually';
import { GrpcChannels } from '@synod/rpc';
import { callerOver, leaderAmong } from './caller';
import { TestCluster, type TestMember } from './test-cluster';

// Members that are told to read by leases; no other file runs any.
const KV = serviceDefinition('etcdserverpb.KV');

const channels = new GrpcChannels();
const call = callerOver(channels);
let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.plan(3);
  for (const member of cluster.members) member.start(['--lease-reads']);
  await cluster.ready();
});

afterAll(async () => {
  for (const member of cluster.members) member.signal('SIGCONT');
  await cluster.destroy();
  channels.close();
});

const bytes = (text: string): Buffer => Buffer.from(text);
const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

const leader = (except?: TestMember): Promise<TestMember> =>
  leaderAmong(
    call,
    cluster.members.filter((each) => each !== except),
  );

async function put(member: TestMember, value: string): Promise<void> {
  const request = { key: bytes('k'), value: bytes(value) };
  await eventually('a put to be acknowledged', () => succeeds(call(member, KV.Put, request)));
}

async function get(member: TestMember): Promise<string | undefined> {
  const { kvs } = await call(member, KV.Range, { key: bytes('k') });
  return kvs[0]?.value.toString();
}

/** Whether a read is answered while the other members stand still; they go on behind it. */
async function readsAlone(member: TestMember, afterMs: number): Promise<boolean> {
  const others = cluster.members.filter((each) => each !== member);
  expect(await get(member)).toBe('one');
  for (const other of others) other.signal('SIGSTOP');
  await new Promise((resolve) => setTimeout(resolve, afterMs));
  const read = get(member);
  const answered = await Promise.race([
    read.then(() => true),
    pause()
      .then(pause)
      .then(() => false),
  ]);
  for (const other of others) other.signal('SIGCONT');
  expect(await read).toBe('one');
  return answered;
}

it('answers reads without the others for as long as the lease holds, and not for longer', async () => {
  await put(await leader(), 'one');
  // On a busy machine the lease may be over before the others stand still.
  await eventually('a read that needed nobody', async () => readsAlone(await leader(), 0));
  expect(await readsAlone(await leader(), 1_000)).toBe(false);
});

// etcd#20418 again: the lease that the leader had when it was stopped is over when it goes on.
it('answers no read from before the leader was stopped, though it had a lease', async () => {
  const stopped = await leader();
  await put(stopped, 'old');
  expect(await get(stopped)).toBe('old');
  stopped.signal('SIGSTOP');
  const next = await leader(stopped);
  await put(next, 'new');
  const reads = Array.from({ length: 20 }, () => get(stopped));
  await pause();
  stopped.signal('SIGCONT');
  expect(new Set(await Promise.all(reads))).toEqual(new Set(['new']));
});
