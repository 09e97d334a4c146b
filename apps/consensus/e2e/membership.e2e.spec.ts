import { rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { eventually } from '@synod/eventually';
import { freePorts, whereInstalled } from '@synod/test-processes';
import { Etcdctl } from './etcdctl';
import { TestCluster, TestMember } from './test-cluster';

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

const etcdctl = new Etcdctl(() => [...members.values()].filter(({ runs }) => runs).map(({ address }) => address));

/** Id, status, name, peer URLs, client URLs, learner: of each member. */
async function list(): Promise<string[][]> {
  return (await etcdctl.lines('member', 'list')).map((line) => line.split(', '));
}

async function idOf(name: string): Promise<string> {
  const id = (await list()).find((row) => row[2] === name)?.[0];
  if (id === undefined) throw new Error(`${name} is not a member`);
  return id;
}

async function leader(): Promise<TestMember> {
  const { endpoint } = await etcdctl.leading();
  return [...members.values()].find(({ address }) => address === endpoint)!;
}

/** How many of the writer's keys a member has. */
async function countAt(address: string): Promise<number> {
  return (await etcdctl.at(address).json('get', 'w/', '--prefix', '--limit=1'))['count'] as number;
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

whereInstalled('etcdctl', 'members that come and go', () => {
  beforeAll(async () => {
    cluster = await TestCluster.start(3);
    for (const member of cluster.members) members.set(member.id, member);
    ports = await freePorts(12);
    writer = (async () => {
      while (writing) {
        // A write of unknown outcome is repeated under its own key.
        if ((await etcdctl.run(['put', `w/${written}`, 'x'])).code === 0) written++;
        await pause(PAUSE_MS);
      }
    })();
  });

  afterAll(async () => {
    writing = false;
    await writer;
    for (const member of members.values()) await member.kill('SIGKILL');
    await cluster.destroy();
  });

  it('adds a learner, which takes its place, catches up and is promoted, with writes going on', async () => {
    const [peer = 0] = ports.splice(0, 1);
    const url = `http://127.0.0.1:${peer}`;
    expect(await etcdctl.text('member', 'add', 'n4', '--learner', `--peer-urls=${url}`)).toMatch(
      /^Member +[0-9a-f]+ added to cluster +[0-9a-f]+/,
    );
    const unstarted = (await list()).find((row) => row[3] === url)!;
    expect(unstarted.slice(1)).toEqual(['unstarted', '', url, '', 'true']);
    const [id = ''] = unstarted;

    expect(await etcdctl.refusal('member', 'add', 'n5', `--peer-urls=${url}`)).toContain(
      'etcdserver: Peer URLs already exists',
    );
    expect(await etcdctl.refusal('member', 'add', 'n5', '--learner', '--peer-urls=http://127.0.0.1:1')).toContain(
      'etcdserver: too many learner members in cluster',
    );
    expect(await etcdctl.refusal('member', 'promote', id)).toContain(
      'etcdserver: can only promote a learner member which is in sync with leader',
    );
    expect(await etcdctl.refusal('member', 'promote', await idOf('n1'))).toContain(
      'etcdserver: can only promote a learner member',
    );
    for (const words of [
      ['remove', 'abc'],
      ['promote', 'abc'],
      ['update', 'abc', '--peer-urls=http://127.0.0.1:1'],
    ])
      expect(await etcdctl.refusal('member', ...words)).toContain('etcdserver: member not found');

    const stranger = plan('n5', 1);
    stranger.start(EXISTING);
    expect(await stranger.ended()).toBe(1);
    expect(stranger.log).toContain('has no place at 127.0.0.1:1 for n5: add it first');
    members.delete('n5');

    const before = written;
    const joined = plan('n4', peer);
    joined.start(EXISTING);
    await joined.ready();
    // While it learns it answers what is its own, and nothing else.
    for (const words of [
      ['get', 'w/0'],
      ['put', 'x', 'y'],
      ['watch', 'w/0'],
      ['member', 'list'],
      ['lease', 'list'],
    ]) {
      const refused = await etcdctl.at(joined.address).refusal(...words);
      expect([words, refused]).toEqual([words, expect.stringContaining('etcdserver: rpc not supported for learner')]);
    }
    await etcdctl.at(joined.address).text('get', 'w/0', '--consistency=s');
    expect((await etcdctl.at(joined.address).status()).map((row) => row.slice(4, 6))).toEqual([['false', 'true']]);
    await etcdctl.persist('member', 'promote', id);
    // A member may be ready before its registration tells where it serves clients.
    const [, status, name, , client, learner] = await eventually('its URL', async () => {
      const row = (await list()).find((each) => each[0] === id)!;
      return row[4] !== '' && row;
    });
    expect([status, name, client, learner]).toEqual(['started', 'n4', `http://${joined.address}`, 'false']);
    expect(await countAt(joined.address)).toBeGreaterThanOrEqual(before);
    expect(written).toBeGreaterThan(before);
  }, 120_000);

  it('removes the leader: it answers, stops with the reason, and refuses to start again; the others go on', async () => {
    const removed = await leader();
    expect(await etcdctl.text('member', 'remove', await idOf(removed.id))).toMatch(
      /^Member +[0-9a-f]+ removed from cluster/,
    );
    expect(await removed.ended()).toBe(1);
    expect(removed.log).toContain(`${removed.id} was removed from the cluster and stops`);
    await etcdctl.persist('put', 'after', 'removal');
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
    await etcdctl.text('member', 'remove', await idOf(lost.id));
    const url = `http://127.0.0.1:${lost.ports.peer}`;
    await etcdctl.text('member', 'add', lost.id, `--peer-urls=${url}`);
    const again = plan(lost.id, lost.ports.peer);
    again.start(EXISTING);
    await again.ready();
    expect((await list()).map((row) => [row[1], row[5]])).toEqual(Array(3).fill(['started', 'false']));
  }, 120_000);

  it('moves a member to another peer address, and refuses to lose the quorum', async () => {
    const [peer = 0] = ports.splice(0, 1);
    const moving = members.get('n4')!;
    const url = `http://127.0.0.1:${peer}`;
    await etcdctl.text('member', 'update', await idOf('n4'), `--peer-urls=${url}`);
    await moving.kill('SIGTERM');
    const moved = plan('n4', peer);
    moved.start(EXISTING);
    await moved.ready();
    expect((await list()).find((row) => row[2] === 'n4')?.[3]).toBe(url);

    // A place that nobody has taken yet is a vote that nobody gives: no other may follow, and nobody who votes may go while one is down.
    await etcdctl.text('member', 'add', 'n6', '--peer-urls=http://127.0.0.1:2');
    const unstarted = (await list()).find((row) => row[1] === 'unstarted')![0]!;
    expect(await etcdctl.refusal('member', 'add', 'n7', '--peer-urls=http://127.0.0.1:3')).toContain(
      'etcdserver: unhealthy cluster',
    );
    const leading = await leader();
    const [down, up] = [...members.values()].filter((member) => member.runs && member !== leading);
    await etcdctl.text('member', 'remove', unstarted);
    await down!.kill('SIGKILL');
    expect(await etcdctl.refusal('member', 'remove', await idOf(up!.id))).toContain('etcdserver: unhealthy cluster');
    down!.start(EXISTING);
    await down!.ready();
  }, 120_000);

  it('has kept every write', async () => {
    writing = false;
    await writer;
    for (const { runs, address } of members.values())
      if (runs) expect(await countAt(address)).toBeGreaterThanOrEqual(written);
  });
});
