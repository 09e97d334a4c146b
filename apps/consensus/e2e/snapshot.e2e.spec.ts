import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { serviceDefinition } from '@synod/contracts';
import { eventually, succeeds } from '@synod/eventually';
import { GrpcChannels } from '@synod/rpc';
import { callerOver } from './caller';
import { TestCluster, type TestMember } from './test-cluster';

const KV = serviceDefinition('etcdserverpb.KV');
/** Small, so that a short test fills many of them. */
const FLAGS = ['--snapshot-count', '20', '--log-segment-bytes', '65536'];
const PUTS = 400;
const KEYS = 50;
/** Puts answered at once. */
const IN_FLIGHT = 16;

const channels = new GrpcChannels();
const bytes = (text: string): Buffer => Buffer.from(text);
const valueOf = (put: number): string => `${put}`.padEnd(4_000, '.');

const call = callerOver(channels);

function logBytes({ folder }: TestMember): number {
  const wal = path.join(folder, 'wal');
  return readdirSync(wal).reduce((sum, name) => sum + statSync(path.join(wal, name)).size, 0);
}

/** What a member holds, by a linearizable read or its own, as `key=value@revision`. */
async function contents(member: TestMember, serializable: boolean, revision = '0'): Promise<string[]> {
  const { kvs } = await call(member, KV.Range, { key: bytes('k'), rangeEnd: bytes('l'), serializable, revision });
  return kvs.map(({ key, value, modRevision }) => `${key.toString()}=${value.toString()}@${modRevision}`);
}

/** Puts until it is acknowledged: what is on its way when the leader changes has an unknown outcome. */
async function acknowledged(member: TestMember, key: string, value: string): Promise<void> {
  const request = { key: bytes(key), value: bytes(value) };
  await eventually('a put to be acknowledged', () => succeeds(call(member, KV.Put, request)));
}

describe('a member that was away while the others cut their logs', () => {
  let cluster: TestCluster;
  let members: [TestMember, TestMember, TestMember];

  beforeAll(async () => {
    cluster = await TestCluster.plan(3);
    for (const member of cluster.members) member.start(FLAGS);
    await cluster.ready();
    members = cluster.members as [TestMember, TestMember, TestMember];
  });

  afterAll(async () => {
    await cluster.destroy();
    channels.close();
  });

  it('is brought up to date by a snapshot, history included, while they serve', async () => {
    const [first, second, third] = members;
    await call(first, KV.Put, { key: bytes('k0'), value: bytes('before') });
    await third.kill('SIGKILL');
    let next = 0;
    const writer = async (): Promise<void> => {
      for (let put = next++; put < PUTS; put = next++) {
        await acknowledged(put % 2 === 0 ? first : second, `k${put % KEYS}`, valueOf(put));
      }
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, writer));
    // Everything written is 1.6 MB; of the log a few segments are kept.
    await eventually('the log to be cut', () => logBytes(first) < 6 * 65_536);

    third.start(FLAGS);
    await third.logged('installed a snapshot');
    await third.ready();
    expect(await contents(third, false)).toEqual(await contents(first, false));
    expect(await contents(third, true)).toEqual(await contents(first, true));
    const past = String(2 + PUTS / 2);
    expect(await contents(third, true, past)).toEqual(await contents(first, true, past));
  });

  it('goes on from there: it votes, and finds it all again after it was killed', async () => {
    const [first, , third] = members;
    await first.kill('SIGKILL');
    await acknowledged(third, 'k0', 'after');
    const held = await contents(third, false);
    expect(held).toHaveLength(KEYS);
    await third.kill('SIGKILL');
    third.start(FLAGS);
    await third.ready();
    expect(await contents(third, false)).toEqual(held);
  });
});
