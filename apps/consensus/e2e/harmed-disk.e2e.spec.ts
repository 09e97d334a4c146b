import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { serviceDefinition } from '@synod/contracts';
import { GrpcChannels } from '@synod/rpc';
import { callerOver } from './caller';
import { TestCluster, type TestMember } from './test-cluster';

const KV = serviceDefinition('etcdserverpb.KV');
const CLUSTER = serviceDefinition('etcdserverpb.Cluster');
const MAINTENANCE = serviceDefinition('etcdserverpb.Maintenance');

const channels = new GrpcChannels();
const call = callerOver(channels);
const bytes = (text: string): Buffer => Buffer.from(text);

afterAll(() => channels.close());

/** Flips bits of one byte of a file. */
function flip(file: string, offset: number): void {
  const content = readFileSync(file);
  content[offset]! ^= 0x55;
  writeFileSync(file, content);
}

/** In the middle of what a log was written with. @returns the name of the file */
function harmLog({ folder }: TestMember): string {
  const wal = path.join(folder, 'wal');
  const [largest = ''] = readdirSync(wal).sort(
    (a, b) => statSync(path.join(wal, b)).size - statSync(path.join(wal, a)).size,
  );
  const file = path.join(wal, largest);
  flip(file, Math.floor(statSync(file).size / 2));
  return `wal/${largest}`;
}

/** Everything in a data folder but who holds it. */
function digestOf(folder: string): string {
  const hash = createHash('sha256');
  for (const name of readdirSync(folder, { recursive: true }).map(String).sort()) {
    const file = path.join(folder, name);
    if (name !== 'LOCK' && statSync(file).isFile()) hash.update(name).update(readFileSync(file));
  }
  return hash.digest('hex');
}

async function keysAt(member: TestMember): Promise<number> {
  const request = { key: bytes('w/'), rangeEnd: bytes('w0'), countOnly: true };
  for (;;) {
    try {
      return Number((await call(member, KV.Range, request)).count);
    } catch (error) {
      // Its leader says that it votes again; it serves when it has applied that itself.
      if (!String(error).includes('rpc not supported for learner')) throw error;
    }
  }
}

async function idOf(member: TestMember, name: string): Promise<string | undefined> {
  const { members } = await call(member, CLUSTER.MemberList, {});
  return members.find((each) => each.name === name)?.ID;
}

describe('a member whose disk rots', () => {
  let cluster: TestCluster;
  /** Writes that were acknowledged, while members rot and come back. */
  let written = 0;
  let writing = true;
  let writer: Promise<void>;

  beforeAll(async () => {
    cluster = await TestCluster.start(3);
    const put = async (member: TestMember): Promise<boolean> => {
      const request = { key: bytes(`w/${written}`), value: Buffer.alloc(1_000, 'x') };
      return call(member, KV.Put, request).then(
        () => true,
        () => false,
      );
    };
    writer = (async () => {
      for (let turn = 0; writing; turn++) {
        const member = cluster.members[turn % 3]!;
        // What has an unknown outcome is put again under its own key.
        if (member.runs && (await put(member))) written++;
      }
    })();
    while (written < 200) await new Promise((resolve) => setTimeout(resolve, 50));
  }, 60_000);

  afterAll(async () => {
    writing = false;
    await writer;
    await cluster.destroy();
  });

  async function followers(): Promise<TestMember[]> {
    const leaders = await Promise.all(
      cluster.members.map(async (member) => {
        const { leader, header } = await call(member, MAINTENANCE.Status, {});
        return leader === header!.memberId;
      }),
    );
    return cluster.members.filter((_, index) => !leaders[index]);
  }

  /** It votes again as another replica, knows all that was acknowledged, and what it held is where it says. */
  async function cameBack(member: TestMember, before: string | undefined, aside: string): Promise<void> {
    expect(await member.logged('set aside what the data folder held')).toContain(path.join(member.folder, aside));
    await member.logged('votes again after the loss of its data folder');
    const acknowledged = written;
    expect(await keysAt(member)).toBeGreaterThanOrEqual(acknowledged);
    expect(await idOf(member, member.id)).not.toBe(before);
    expect(readdirSync(path.join(member.folder, aside)).sort()).toEqual(['VERSION', 'founding', 'store', 'wal']);
  }

  it('comes back by itself when a byte of its log has changed, with writes going on', async () => {
    const [rotten] = await followers();
    const before = await idOf(rotten!, rotten!.id);
    await rotten!.kill('SIGTERM');
    const file = harmLog(rotten!);
    const atStart = written;
    rotten!.start();
    expect(await rotten!.logged('the data folder is harmed')).toMatch(new RegExp(`${file} is corrupt at offset \\d+`));
    await cameBack(rotten!, before, 'harmed-1');
    expect(written).toBeGreaterThan(atStart);
    const metrics = await fetch(`http://127.0.0.1:${rotten!.ports.http}/metrics`);
    expect(await metrics.text()).toMatch(/^synod_harmed_folders\{.*\} 1$/m);
  }, 120_000);

  it.each([
    // Where LMDB says that the file is its own.
    ['is no store any more', (store: string) => flip(store, 24)],
    // LMDB would end the process by a signal.
    ['was cut short', (store: string) => truncateSync(store, statSync(store).size >> 1)],
  ])(
    'comes back when its store %s, unless it is told not to',
    async (_, harm) => {
      const sound = (await followers()).filter(({ folder }) => !existsSync(path.join(folder, 'harmed-2')));
      const member = sound.find(({ folder }) => !existsSync(path.join(folder, 'harmed-1'))) ?? sound[0]!;
      const aside = existsSync(path.join(member.folder, 'harmed-1')) ? 'harmed-2' : 'harmed-1';
      const before = await idOf(member, member.id);
      await member.kill('SIGKILL');
      harm(path.join(member.folder, 'store', 'data.mdb'));
      const harmed = digestOf(member.folder);
      member.start(['--repair-from-peers=false']);
      expect(await member.ended()).toBe(1);
      expect(member.log).toContain('store/data.mdb is corrupt');
      expect(digestOf(member.folder)).toBe(harmed);
      member.start();
      await cameBack(member, before, aside);
    },
    120_000,
  );

  it('needs no help to go on from there', async () => {
    writing = false;
    await writer;
    for (const member of cluster.members) await member.kill('SIGKILL');
    for (const member of cluster.members) member.start();
    await cluster.ready();
    for (const member of cluster.members) expect(await keysAt(member)).toBeGreaterThanOrEqual(written);
  }, 60_000);
});

it('a cluster of one refuses, names the place, and leaves everything as it is: nobody else knows what it held', async () => {
  const cluster = await TestCluster.start(1);
  const [alone] = cluster.members as [TestMember];
  try {
    for (let key = 0; key < 50; key++) await call(alone, KV.Put, { key: bytes(`w/${key}`), value: bytes('x') });
    await alone.kill('SIGKILL');
    const file = harmLog(alone);
    const harmed = digestOf(alone.folder);
    alone.start();
    expect(await alone.ended()).toBe(1);
    expect(alone.log).toMatch(new RegExp(`error: write-ahead log: ${file} is corrupt at offset \\d+`));
    expect(digestOf(alone.folder)).toBe(harmed);
  } finally {
    await cluster.destroy();
  }
}, 60_000);
