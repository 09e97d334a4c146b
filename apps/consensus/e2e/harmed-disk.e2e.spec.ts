import { createHash } from 'node:crypto';
import {
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { serviceDefinition } from '@synod/contracts';
import { eventually, succeeds } from '@synod/eventually';
import { GrpcChannels } from '@synod/rpc';
import { callerOver, leaderAmong } from './caller';
import { TestCluster, type TestMember } from './test-cluster';

const KV = serviceDefinition('etcdserverpb.KV');
const CLUSTER = serviceDefinition('etcdserverpb.Cluster');

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

const storeOf = ({ folder }: TestMember): string => path.join(folder, 'store', 'data.mdb');

const PAGE_BYTES = 4_096;

/** Where an early value lies in a store: in its present, and wherever that page was before. Nobody looks there but who keeps the store. */
function placesOfAnOldValue(store: string): number[] {
  const content = readFileSync(store);
  const value = Buffer.alloc(900, 'x');
  const places: number[] = [];
  for (let at = content.indexOf('w/3'); at >= 0; at = content.indexOf('w/3', at + 1)) {
    const place = content.indexOf(value, at);
    const isLonger = /\d/.test(String.fromCharCode(content[at + 3]!));
    if (!isLonger && place >= 0 && place < at + 100) places.push(place);
  }
  expect(places).not.toEqual([]);
  return places;
}

function overwrite(file: string, offset: number, bytes: Buffer): void {
  const descriptor = openSync(file, 'r+');
  writeSync(descriptor, bytes, 0, bytes.length, offset);
  closeSync(descriptor);
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
  return eventually('a count of keys', async () => {
    try {
      return Number((await call(member, KV.Range, request)).count);
    } catch (error) {
      // Its leader says that it votes again; it serves when it has applied that itself.
      if (!String(error).includes('rpc not supported for learner')) throw error;
      return undefined;
    }
  });
}

async function idOf(member: TestMember, name: string): Promise<string | undefined> {
  const { members } = await call(member, CLUSTER.MemberList, {});
  return members.find((each) => each.name === name)?.ID;
}

describe('a member whose disk rots', () => {
  let cluster: TestCluster;
  /** Writes that were acknowledged, while members rot and come back. */
  let written = 0;
  /** Writes go on all the while; more of them would show no more, and keep a processor busy. */
  const PAUSE_MS = 5;
  let writing = true;
  let writer: Promise<void>;

  beforeAll(async () => {
    cluster = await TestCluster.start(3);
    const put = async (member: TestMember): Promise<boolean> => {
      const request = { key: bytes(`w/${written}`), value: Buffer.alloc(1_000, 'x') };
      return succeeds(call(member, KV.Put, request));
    };
    writer = (async () => {
      for (let turn = 0; writing; turn++) {
        const member = cluster.members[turn % 3]!;
        // What has an unknown outcome is put again under its own key.
        if (member.runs && (await put(member))) written++;
        await pause(PAUSE_MS);
      }
    })();
    await eventually('200 puts to be acknowledged', () => written >= 200);
  });

  afterAll(async () => {
    writing = false;
    await writer;
    await cluster.destroy();
  });

  async function followers(): Promise<TestMember[]> {
    const leader = await leaderAmong(call, cluster.members);
    return cluster.members.filter((member) => member !== leader);
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
    const { member: rotten } = await soundest();
    const before = await idOf(rotten, rotten.id);
    await rotten.kill('SIGTERM');
    const file = harmLog(rotten);
    const atStart = written;
    rotten.start();
    expect(await rotten.logged('the data folder is harmed')).toMatch(new RegExp(`${file} is corrupt at offset \\d+`));
    await cameBack(rotten, before, 'harmed-1');
    expect(written).toBeGreaterThan(atStart);
    const metrics = await fetch(`http://127.0.0.1:${rotten.ports.http}/metrics`);
    expect(await metrics.text()).toMatch(/^synod_harmed_folders\{.*\} 1$/m);
  }, 120_000);

  /** A follower with the fewest folders set aside, and where the next one will go; of several the one that comes first, and withdraws first. */
  async function soundest(): Promise<{ readonly member: TestMember; readonly aside: string }> {
    const held = ({ folder }: TestMember): number =>
      readdirSync(folder).filter((name) => name.startsWith('harmed-')).length;
    const { members } = await call(await leaderAmong(call, cluster.members), CLUSTER.MemberList, {});
    const places = members.map(({ name }) => name);
    const [member] = (await followers()).sort(
      (a, b) => held(a) - held(b) || places.indexOf(a.id) - places.indexOf(b.id),
    );
    return { member: member!, aside: `harmed-${held(member!) + 1}` };
  }

  // LMDB would end the process by a signal.
  it('comes back when its store was cut short, unless it is told not to', async () => {
    const { member, aside } = await soundest();
    const before = await idOf(member, member.id);
    await member.kill('SIGKILL');
    const store = storeOf(member);
    truncateSync(store, statSync(store).size >> 1);
    const harmed = digestOf(member.folder);
    member.start(['--repair-from-peers=false']);
    expect(await member.ended()).toBe(1);
    expect(member.log).toMatch(/store\/data\.mdb is corrupt at offset \d+/);
    expect(digestOf(member.folder)).toBe(harmed);
    member.start();
    await cameBack(member, before, aside);
  }, 120_000);

  it('comes back without a restart when a page of its store goes bad while it runs', async () => {
    const { member, aside } = await soundest();
    const before = await idOf(member, member.id);
    await member.kill('SIGTERM');
    // Its pages are looked at every second, not for the first time after ten.
    member.start(['--state-check-seconds', '1']);
    await member.ready();
    const store = storeOf(member);
    for (const place of placesOfAnOldValue(store)) {
      overwrite(store, place - (place % PAGE_BYTES), Buffer.alloc(PAGE_BYTES));
    }
    expect(await member.logged('withdraws')).toMatch(/store\/data\.mdb is corrupt at offset \d+/);
    await cameBack(member, before, aside);
  }, 120_000);

  it('needs no help to go on from there', async () => {
    writing = false;
    await writer;
    for (const member of cluster.members) await member.kill('SIGKILL');
    for (const member of cluster.members) member.start();
    await cluster.ready();
    for (const member of cluster.members) expect(await keysAt(member)).toBeGreaterThanOrEqual(written);
  });
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
});
