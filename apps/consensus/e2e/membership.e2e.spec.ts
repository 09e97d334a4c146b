import { execFile, spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { eventually } from '@synod/eventually';
import { freePorts, TestCluster, TestMember } from './test-cluster';

const ETCDCTL_MISSING = spawnSync('etcdctl', ['version']).error !== undefined;
if (ETCDCTL_MISSING) process.stdout.write('not run: members that come and go (needs etcdctl)\n');

const ENV = { ...process.env, ETCDCTL_API: '3' };

let cluster: TestCluster;
/** Everybody who is or was a member, by name. */
const members = new Map<string, TestMember>();
let ports: number[];
/** Writes that were acknowledged while members came and went. */
let written = 0;
/** Writes go on all the while; more of them would show no more, and keep a processor busy. */
const PAUSE_MS = 50;
let writing = true;
let writer: Promise<void>;

const running = (): string =>
  [...members.values()]
    .filter(({ runs }) => runs)
    .map(({ address }) => address)
    .join(',');

function run(args: readonly string[], endpoints = running()): Promise<{ ok: boolean; output: string }> {
  const flags = ['--endpoints', endpoints, '--command-timeout=20s', '--dial-timeout=5s'];
  return new Promise((resolve) => {
    execFile('etcdctl', [...flags, ...args], { env: ENV }, (error, stdout, stderr) => {
      resolve({ ok: error === null, output: stdout + stderr });
    });
  });
}

async function etcdctl(...args: string[]): Promise<string> {
  const { ok, output } = await run(args);
  if (!ok) throw new Error(`etcdctl ${args.join(' ')}: ${output}`);
  return output;
}

async function refusal(...args: string[]): Promise<string> {
  const { ok, output } = await run(args);
  expect(ok).toBe(false);
  return output;
}

/** Id, status, name, peer URLs, client URLs, learner: of each member. */
async function list(): Promise<string[][]> {
  return (await etcdctl('member', 'list'))
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split(', '));
}

async function idOf(name: string): Promise<string> {
  const id = (await list()).find((row) => row[2] === name)?.[0];
  if (id === undefined) throw new Error(`${name} is not a member`);
  return id;
}

async function leader(): Promise<TestMember> {
  const status = (await etcdctl('endpoint', 'status')).split('\n');
  const address = status.find((line) => line.includes(', true, false,'))?.split(', ')[0];
  const found = [...members.values()].find((member) => member.address === address);
  if (found === undefined) throw new Error(`no member leads:\n${status.join('\n')}`);
  return found;
}

/** How many of the writer's keys a member has. */
async function countAt(address: string): Promise<number> {
  const { output } = await run(['get', 'w/', '--prefix', '--limit=1', '-w', 'json'], address);
  return (JSON.parse(output) as { count: number }).count;
}

/** A machine that may join: its flags name all members and itself. */
function plan(id: string, peer: number, folder = id): TestMember {
  const [client = 0, http = 0] = ports.splice(0, 2);
  const others = [...members.values()].filter((member) => member.id !== id && member.runs);
  const initialCluster = [...others, { id, ports: { peer } }]
    .map((member) => `${member.id}=127.0.0.1:${member.ports.peer}`)
    .join(',');
  const member = new TestMember(id, { client, peer, http }, path.join(cluster.folder, folder), initialCluster);
  members.set(id, member);
  return member;
}

const EXISTING = ['--initial-cluster-state', 'existing'];

beforeAll(async () => {
  if (ETCDCTL_MISSING) return;
  cluster = await TestCluster.start(3);
  for (const member of cluster.members) members.set(member.id, member);
  ports = await freePorts(12);
  writer = (async () => {
    while (writing) {
      // A write of unknown outcome is repeated under its own key.
      if ((await run(['put', `w/${written}`, 'x'])).ok) written++;
      await pause(PAUSE_MS);
    }
  })();
});

afterAll(async () => {
  if (ETCDCTL_MISSING) return;
  writing = false;
  await writer;
  for (const member of members.values()) await member.kill('SIGKILL');
  await cluster.destroy();
});

const suite = (): void => {
  it('adds a learner, which takes its place, catches up and is promoted, with writes going on', async () => {
    const [peer = 0] = ports.splice(0, 1);
    const url = `http://127.0.0.1:${peer}`;
    expect(await etcdctl('member', 'add', 'n4', '--learner', `--peer-urls=${url}`)).toMatch(
      /^Member +[0-9a-f]+ added to cluster +[0-9a-f]+/,
    );
    const unstarted = (await list()).find((row) => row[3] === url)!;
    expect(unstarted.slice(1)).toEqual(['unstarted', '', url, '', 'true']);
    const [id = ''] = unstarted;

    expect(await refusal('member', 'add', 'n5', `--peer-urls=${url}`)).toContain(
      'etcdserver: Peer URLs already exists',
    );
    expect(await refusal('member', 'add', 'n5', '--learner', '--peer-urls=http://127.0.0.1:1')).toContain(
      'etcdserver: too many learner members in cluster',
    );
    expect(await refusal('member', 'promote', id)).toContain(
      'etcdserver: can only promote a learner member which is in sync with leader',
    );
    expect(await refusal('member', 'promote', await idOf('n1'))).toContain(
      'etcdserver: can only promote a learner member',
    );
    for (const words of [
      ['remove', 'abc'],
      ['promote', 'abc'],
      ['update', 'abc', '--peer-urls=http://127.0.0.1:1'],
    ])
      expect(await refusal('member', ...words)).toContain('etcdserver: member not found');

    const stranger = plan('n5', 1);
    stranger.start(EXISTING);
    expect(await stranger.ended()).toBe(1);
    expect(stranger.log).toContain('has no place at 127.0.0.1:1 for n5: add it first');
    members.delete('n5');

    const before = written;
    const joined = plan('n4', peer);
    joined.start(EXISTING);
    await joined.logged('"message":"ready"');
    // While it learns it answers what is its own, and nothing else.
    for (const words of [
      ['get', 'w/0'],
      ['put', 'x', 'y'],
      ['watch', 'w/0'],
      ['member', 'list'],
      ['lease', 'list'],
    ]) {
      const { ok, output } = await run(words, joined.address);
      expect([ok, output]).toEqual([false, expect.stringContaining('etcdserver: rpc not supported for learner')]);
    }
    expect((await run(['get', 'w/0', '--consistency=s'], joined.address)).ok).toBe(true);
    expect((await run(['endpoint', 'status'], joined.address)).output).toContain(', false, true,');
    await eventually('the learner to be promoted', async () => (await run(['member', 'promote', id])).ok);
    const [, status, name, , client, learner] = (await list()).find((row) => row[0] === id)!;
    expect([status, name, client, learner]).toEqual(['started', 'n4', `http://${joined.address}`, 'false']);
    expect(await countAt(joined.address)).toBeGreaterThanOrEqual(before);
    expect(written).toBeGreaterThan(before);
  }, 120_000);

  it('removes the leader: it answers, stops with the reason, and refuses to start again; the others go on', async () => {
    const removed = await leader();
    expect(await etcdctl('member', 'remove', await idOf(removed.id))).toMatch(
      /^Member +[0-9a-f]+ removed from cluster/,
    );
    expect(await removed.ended()).toBe(1);
    expect(removed.log).toContain(`${removed.id} was removed from the cluster and stops`);
    await etcdctl('put', 'after', 'removal');
    expect((await leader()).id).not.toBe(removed.id);
    removed.start();
    expect(await removed.ended()).toBe(1);
    expect(removed.log).toContain(`${removed.id} was removed from group consensus and takes part no more`);
    expect((await list()).map((row) => row[2])).not.toContain(removed.id);
  }, 120_000);

  it('replaces a member that lost its disk: by itself, or by hand', async () => {
    const lost = cluster.members.find(({ runs, id }) => runs && id !== 'n4')!;
    const before = await idOf(lost.id);
    await lost.kill('SIGKILL');
    rmSync(lost.folder, { recursive: true });
    lost.start(EXISTING);
    await lost.logged('votes again after the loss of its data folder');
    expect(await idOf(lost.id)).not.toBe(before);

    await lost.kill('SIGKILL');
    rmSync(lost.folder, { recursive: true });
    await etcdctl('member', 'remove', await idOf(lost.id));
    const url = `http://127.0.0.1:${lost.ports.peer}`;
    await etcdctl('member', 'add', lost.id, `--peer-urls=${url}`);
    const again = plan(lost.id, lost.ports.peer);
    again.start(EXISTING);
    await again.logged('"message":"ready"');
    expect((await list()).map((row) => [row[1], row[5]])).toEqual(Array(3).fill(['started', 'false']));
  }, 120_000);

  it('moves a member to another peer address, and refuses to lose the quorum', async () => {
    const [peer = 0] = ports.splice(0, 1);
    const moving = members.get('n4')!;
    const url = `http://127.0.0.1:${peer}`;
    await etcdctl('member', 'update', await idOf('n4'), `--peer-urls=${url}`);
    await moving.kill('SIGTERM');
    const moved = plan('n4', peer);
    moved.start(EXISTING);
    await moved.logged('"message":"ready"');
    expect((await list()).find((row) => row[2] === 'n4')?.[3]).toBe(url);

    // A place that nobody has taken yet is a vote that nobody gives: no other may follow, and nobody who votes may go while one is down.
    await etcdctl('member', 'add', 'n6', '--peer-urls=http://127.0.0.1:2');
    const unstarted = (await list()).find((row) => row[1] === 'unstarted')![0]!;
    expect(await refusal('member', 'add', 'n7', '--peer-urls=http://127.0.0.1:3')).toContain(
      'etcdserver: unhealthy cluster',
    );
    const leading = await leader();
    const [down, up] = [...members.values()].filter((member) => member.runs && member !== leading);
    await etcdctl('member', 'remove', unstarted);
    await down!.kill('SIGKILL');
    expect(await refusal('member', 'remove', await idOf(up!.id))).toContain('etcdserver: unhealthy cluster');
    down!.start(EXISTING);
    await down!.logged('"message":"ready"');
  }, 120_000);

  it('has kept every write', async () => {
    writing = false;
    await writer;
    for (const { runs, address } of members.values())
      if (runs) expect(await countAt(address)).toBeGreaterThanOrEqual(written);
  });
};

if (ETCDCTL_MISSING) it.todo('needs etcdctl');
else describe('members', suite);
