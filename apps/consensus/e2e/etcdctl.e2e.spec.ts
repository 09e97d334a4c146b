import { execFile, spawn, spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { createInterface } from 'node:readline';
import { runEveryGroup } from './etcdctl-groups';
import { TestCluster, type TestMember } from './test-cluster';

const ETCDCTL_MISSING = spawnSync('etcdctl', ['version']).error !== undefined;
if (ETCDCTL_MISSING) process.stdout.write('not run: etcdctl against consensus (needs etcdctl)\n');

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.start(3);
});

afterAll(() => cluster.destroy());

interface Output {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const ENV = { ...process.env, ETCDCTL_API: '3' };

function run(args: readonly string[], input = ''): Promise<Output> {
  const flags = ['--endpoints', cluster.endpoints.join(','), '--command-timeout=20s'];
  return new Promise((resolve) => {
    const child = execFile('etcdctl', [...flags, ...args], { env: ENV }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : 1, stdout, stderr });
    });
    child.stdin?.end(input);
  });
}

/** The lines that a command printed; it must succeed. */
async function etcdctl(...args: string[]): Promise<string[]> {
  const { code, stdout, stderr } = await run(args);
  if (code !== 0) throw new Error(`etcdctl ${args.join(' ')}: ${stderr}`);
  return stdout.split('\n').filter((line) => line !== '');
}

async function json(...args: string[]): Promise<Record<string, unknown>> {
  return JSON.parse((await etcdctl(...args, '-w', 'json')).join('')) as Record<string, unknown>;
}

async function refusal(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(args);
  expect(code).not.toBe(0);
  return (
    /Error: (.*)|canceled \((.*)\)/
      .exec(stderr + stdout)
      ?.slice(1)
      .find((text) => text !== undefined) ?? stderr
  );
}

async function roles(): Promise<{ leader: TestMember; followers: TestMember[] }> {
  const status = await etcdctl('endpoint', 'status');
  const leading = status.findIndex((line) => line.includes(', true, false,'));
  const leader = cluster.members[leading];
  if (leader === undefined) throw new Error('no member leads');
  return { leader, followers: cluster.members.filter((member) => member !== leader) };
}

it('founds itself once, and every member becomes ready', async () => {
  const clusters = await Promise.all(cluster.members.map((member) => member.logged('"message":"ready"')));
  expect(new Set(clusters.map((line) => /"cluster":"([0-9a-f]+)"/.exec(line)?.[1])).size).toBe(1);
});

const suite = (): void => {
  it('puts, gets and deletes', async () => {
    expect(await etcdctl('put', 'a/1', 'one')).toEqual(['OK']);
    expect(await etcdctl('put', 'a/1', 'uno', '--prev-kv')).toEqual(['OK', 'a/1', 'one']);
    await etcdctl('put', 'a/2', 'two');
    expect(await etcdctl('get', 'a/1')).toEqual(['a/1', 'uno']);
    expect(await etcdctl('get', 'a/', '--prefix', '--keys-only', '--order', 'DESCEND', '--sort-by', 'KEY')).toEqual([
      'a/2',
      'a/1',
    ]);
    expect(await etcdctl('get', 'a/1', 'a/9', '--limit=1', '--print-value-only')).toEqual(['uno']);
    expect(await json('get', 'a/', '--prefix', '--limit=1')).toMatchObject({ more: true, count: 2 });
    expect(await etcdctl('get', 'a/', '--prefix', '--consistency=s', '--keys-only')).toEqual(['a/1', 'a/2']);
    expect(await etcdctl('del', 'a/', '--prefix', '--prev-kv')).toEqual(['2', 'a/1', 'uno', 'a/2', 'two']);
    expect(await etcdctl('get', 'a/', '--prefix')).toEqual([]);
  });

  it('reads the past until it is compacted', async () => {
    await etcdctl('put', 'past', 'old');
    const { header } = await json('get', 'past');
    const { revision } = header as { revision: number };
    await etcdctl('put', 'past', 'new');
    expect(await etcdctl('get', 'past', `--rev=${revision}`)).toEqual(['past', 'old']);
    expect(await refusal('get', 'past', `--rev=${revision + 1_000}`)).toBe(
      'etcdserver: mvcc: required revision is a future revision',
    );
    expect(await etcdctl('compaction', String(revision + 1), '--physical')).toEqual([
      `compacted revision ${revision + 1}`,
    ]);
    expect(await refusal('get', 'past', `--rev=${revision}`)).toBe(
      'etcdserver: mvcc: required revision has been compacted',
    );
    expect(await refusal('compaction', String(revision))).toBe(
      'etcdserver: mvcc: required revision has been compacted',
    );
    expect(await refusal('watch', 'past', `--rev=${revision}`)).toBe(
      'etcdserver: mvcc: required revision has been compacted',
    );
  });

  it('runs transactions', async () => {
    await etcdctl('put', 't', '1');
    const txn = (script: string): Promise<Output> => run(['txn'], script);
    const won = await txn('value("t") = "1"\n\nput t 2\nget t\n\nput t lost\n\n');
    expect(won.stdout.split('\n').filter((line) => line !== '')).toEqual(['SUCCESS', 'OK', 't', '2']);
    const lost = await txn('mod("t") = "1"\nversion("t") > "0"\n\nput t lost\n\nget t\n\n');
    expect(lost.stdout.split('\n').filter((line) => line !== '')).toEqual(['FAILURE', 't', '2']);
    expect((await txn('\n\nput t 1\nput t 2\n\n\n')).stderr).toContain('duplicate key given in txn request');
  });

  it('watches the past and the present', async () => {
    await etcdctl('put', 'w', '1');
    const { header } = await json('get', 'w');
    const revision = (header as { revision: number }).revision;
    const endpoint = cluster.members[1]?.address ?? '';
    const watch = spawn(
      'etcdctl',
      ['--endpoints', endpoint, 'watch', 'w', '--prefix', `--rev=${revision}`, '--prev-kv'],
      {
        env: ENV,
      },
    );
    const lines: string[] = [];
    const heard = async (count: number): Promise<string[]> => {
      for await (const line of createInterface({ input: watch.stdout })) if (lines.push(line) === count) break;
      return lines;
    };
    await etcdctl('put', 'w', '2');
    await etcdctl('del', 'w');
    expect(await heard(11)).toEqual(['PUT', 'w', '1', 'PUT', 'w', '1', 'w', '2', 'DELETE', 'w', '2'].slice(0, 11));
    watch.kill();
  });

  it('grants, renews, shows and revokes leases', async () => {
    const granted = await etcdctl('lease', 'grant', '60');
    const id = /lease ([0-9a-f]+) granted with TTL\(60s\)/.exec(granted[0] ?? '')?.[1] ?? '';
    await etcdctl('put', 'leased', '1', `--lease=${id}`);
    expect((await etcdctl('lease', 'keep-alive', '--once', id))[0]).toContain('keepalived with TTL(60)');
    expect((await etcdctl('lease', 'timetolive', id, '--keys'))[0]).toMatch(
      /granted with TTL\(60s\), remaining\((59|60)s\), attached keys\(\[leased\]\)/,
    );
    expect((await etcdctl('lease', 'list')).join()).toContain(id);
    expect(await etcdctl('lease', 'revoke', id)).toEqual([`lease ${id} revoked`]);
    expect(await etcdctl('get', 'leased')).toEqual([]);
    expect(await refusal('lease', 'revoke', id)).toContain('etcdserver: requested lease not found');
    expect((await etcdctl('lease', 'timetolive', id))[0]).toContain('already expired');
    expect(await refusal('put', 'leased', '1', `--lease=${id}`)).toBe('etcdserver: requested lease not found');
  });

  it('locks and elects', async () => {
    expect(await etcdctl('lock', 'the-lock', 'echo', 'held')).toEqual(['held']);
    const elected = spawn('etcdctl', ['--endpoints', cluster.endpoints.join(','), 'elect', 'the-office', 'me'], {
      env: ENV,
    });
    for await (const line of createInterface({ input: elected.stdout })) if (line === 'me') break;
    elected.kill();
  });

  it('does something of every group', async () => {
    const { endpoints, folder } = cluster;
    await etcdctl('user', 'add', 'root:pw');
    const flags = ['--command-timeout=20s'];
    await runEveryGroup({ endpoints, flags, mirrorFlags: [], folder, usersAreChecked: false }, 'in-the-clear');
  });

  it('shows its members and their health', async () => {
    const members = await etcdctl('member', 'list');
    expect(members).toHaveLength(3);
    for (const { id, address, ports } of cluster.members) {
      const row = members.find((line) => line.includes(`, started, ${id}, `));
      expect(row).toContain(`http://127.0.0.1:${ports.peer}, http://${address}, false`);
    }
    const { stdout, stderr } = await run(['endpoint', 'health']);
    expect((stdout + stderr).match(/is healthy/g)).toHaveLength(3);
    const status = await etcdctl('endpoint', 'status');
    expect(status.filter((line) => line.includes('3.6.0'))).toHaveLength(3);
    expect(status.filter((line) => line.includes(', true, false,'))).toHaveLength(1);
    expect(await etcdctl('alarm', 'list')).toEqual([]);
  });

  it('moves the leader, and hands over when the leader stops', async () => {
    const { leader, followers } = await roles();
    const idOf = async ({ id }: TestMember): Promise<string> =>
      (await etcdctl('member', 'list')).find((line) => line.includes(`, ${id}, `))?.split(',')[0] ?? '';
    const [to, other] = followers;
    const move = (at: TestMember, target: string): string => {
      const flags = ['--endpoints', at.address, 'move-leader', target];
      const { stdout, stderr } = spawnSync('etcdctl', flags, { env: ENV, encoding: 'utf8', timeout: 30_000 });
      return stdout + stderr;
    };
    expect(move(leader, 'abcdef')).toContain('etcdserver: bad leader transferee');
    expect(move(to!, await idOf(other!))).toContain('no leader endpoint given');
    expect(move(leader, await idOf(to!))).toMatch(/^Leadership transferred from [0-9a-f]+ to [0-9a-f]+\n$/);
    expect((await roles()).leader.id).toBe(to!.id);

    const stopped = to!.kill('SIGTERM');
    const others = [leader, other!].map(({ address }) => address);
    const put = (): SpawnSyncReturns<string> =>
      spawnSync('etcdctl', ['--endpoints', others.join(','), 'put', 'handed-over', '1'], {
        timeout: 30_000,
        env: ENV,
        encoding: 'utf8',
      });
    await stopped;
    expect(to!.log).toContain('no longer leads group'); // A leader that only ends never says so.
    expect(put().stdout).toBe('OK\n');
    to!.start();
    await to!.logged('"message":"ready"');
  });

  it('refuses in the words of etcd', async () => {
    expect(await refusal('put', '', 'x')).toBe('etcdserver: key is not provided');
    expect(await refusal('put', '\u0000synod/oracle', 'x').catch(() => 'not an argument')).toBe('not an argument');
    expect(await refusal('put', 'missing', '--ignore-value')).toBe('etcdserver: key not found');
    const taken = `http://127.0.0.1:${cluster.members[0]?.ports.peer}`;
    expect(await refusal('member', 'add', 'n4', `--peer-urls=${taken}`)).toBe('etcdserver: Peer URLs already exists');
  });

  it('serves on when the leader is killed, and the leader comes back with everything', async () => {
    await etcdctl('put', 'durable', '1');
    const status = await etcdctl('endpoint', 'status');
    const leading = status.findIndex((line) => line.includes(', true, false,'));
    const leader = cluster.members[leading];
    if (leader === undefined) throw new Error('no member leads');
    await leader.kill('SIGKILL');
    const others = cluster.members.filter((member) => member !== leader).map(({ address }) => address);
    const flags = ['--endpoints', others.join(','), '--command-timeout=20s'];
    const put = spawnSync('etcdctl', [...flags, 'put', 'durable', '2'], {
      env: ENV,
      encoding: 'utf8',
      timeout: 30_000,
    });
    expect(put.stdout + put.stderr).toBe('OK\n');
    leader.start();
    await leader.logged('"message":"ready"');
    const got = spawnSync('etcdctl', ['--endpoints', leader.address, 'get', 'durable'], {
      env: ENV,
      encoding: 'utf8',
      timeout: 30_000,
    });
    expect(got.stdout).toBe('durable\n2\n');
  });
};

if (!ETCDCTL_MISSING) describe('etcdctl', suite);
