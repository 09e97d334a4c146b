import { serviceDefinition } from '@synod/contracts';
import { eventually, succeeds } from '@synod/eventually';
import { GrpcChannels } from '@synod/rpc';
import { callerOver, leaderAmong } from './caller';
import { TestCluster, type TestMember } from './test-cluster';

const KV = serviceDefinition('etcdserverpb.KV');
const MAINTENANCE = serviceDefinition('etcdserverpb.Maintenance');

/** So that the log is cut well before a member that stands still goes on. */
const FLAGS = ['--snapshot-count', '200', '--log-segment-bytes', '4194304'];
const VALUE = Buffer.alloc(100_000, 'v');
/** Keys that are written over and over: the state is of 20 MB. */
const KEYS = 200;
const IN_FLIGHT = 16;
const MB = 1_000_000;
/**
 * What a stretch of writing may add: the queue towards a peer (64 MiB), the tail of the log for peers that lag (16 MiB), and what the collector
 * leaves lying about at such a rate.
 */
const GROWTH_MAX_KB = 130_000;

const channels = new GrpcChannels();
const call = callerOver(channels);

let cluster: TestCluster;
let leader: TestMember;
let followers: TestMember[];
let puts = 0;

/** Writes so many bytes by way of the leader. @returns the most memory that any of some members had meanwhile */
async function write(bytes: number, watched: readonly TestMember[]): Promise<number> {
  const last = puts + Math.ceil(bytes / VALUE.length);
  let peak = 0;
  const writer = async (): Promise<void> => {
    while (puts < last) {
      const key = Buffer.from(`k${puts++ % KEYS}`);
      // On a busy machine one may come too late: its outcome is unknown, and it is put again.
      await eventually('a put to be acknowledged', () => succeeds(call(leader, KV.Put, { key, value: VALUE })));
      peak = Math.max(peak, ...watched.map(({ anonymousKilobytes }) => anonymousKilobytes));
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, writer));
  return peak;
}

/** Resolves when a member has applied what the leader has now. @returns the most memory that it had meanwhile */
async function caughtUp(member: TestMember): Promise<number> {
  const { raftAppliedIndex: wanted } = await call(leader, MAINTENANCE.Status, {});
  let peak = 0;
  await eventually(`${member.id} to catch up`, async () => {
    peak = Math.max(peak, member.anonymousKilobytes);
    const { raftAppliedIndex: applied } = await call(member, MAINTENANCE.Status, {});
    return BigInt(applied) >= BigInt(wanted);
  });
  return peak;
}

async function holdsTheSame(member: TestMember): Promise<void> {
  const hashes = await Promise.all(
    [leader, member].map(async (each) => (await call(each, MAINTENANCE.HashKV, { revision: String(puts) })).hash),
  );
  expect(hashes[1]).toBe(hashes[0]);
}

beforeAll(async () => {
  cluster = await TestCluster.plan(3);
  for (const member of cluster.members) member.start(FLAGS);
  await cluster.ready();
  leader = await leaderAmong(call, cluster.members);
  followers = cluster.members.filter((member) => member !== leader);
});

afterAll(async () => {
  for (const member of cluster.members) member.signal('SIGCONT');
  await cluster.destroy();
  channels.close();
});

it('a follower that stands still costs its leader a bounded queue, and catches up', async () => {
  const usual = await write(40 * MB, [leader]);
  const [stalled] = followers as [TestMember];
  stalled.signal('SIGSTOP');
  const peak = await write(140 * MB, [leader]);
  expect(peak - usual).toBeLessThan(GROWTH_MAX_KB);
  stalled.signal('SIGCONT');
  await caughtUp(stalled);
  await holdsTheSame(stalled);
}, 240_000);

it('a member that fetches the state while others write holds a bounded part of that', async () => {
  const [, lagging] = followers as [TestMember, TestMember];
  const usual = await write(20 * MB, [lagging]);
  await lagging.kill('SIGKILL');
  await write(25 * MB, [leader]);
  lagging.start(FLAGS);
  await lagging.logged('"message":"fetching a snapshot"');
  const peak = Math.max(await write(60 * MB, [lagging]), await caughtUp(lagging));
  await lagging.logged('"message":"installed a snapshot"');
  expect(peak - usual).toBeLessThan(GROWTH_MAX_KB);
  await holdsTheSame(lagging);
}, 240_000);
