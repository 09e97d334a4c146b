import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import path from 'node:path';
import { synod } from '@synod/test-processes';
import { Place, TINY, type ReadyLine, type Up } from './test-cluster';

let place: Place;
beforeAll(async () => {
  place = await Place.find();
});
afterAll(() => place.remove());

async function stopped(up: Up): Promise<void> {
  const since = performance.now();
  up.kill('SIGTERM');
  expect(await up.ended()).toBe(0);
  expect(performance.now() - since).toBeLessThan(up.soonMs);
  expect(place.processes()).toEqual([]);
}

describe('synod up', () => {
  let first: ReadyLine;

  it('starts the default cluster, tells of it in one line, and keeps out another on its folder', async () => {
    const up = place.up();
    first = await up.ready();
    const at = (offset: number): string => `127.0.0.1:${place.portBase + offset}`;
    expect(first).toEqual({
      ready: true,
      consensus: [at(0), at(10), at(20)],
      storage: [at(121), at(122), at(123)],
      coordinators: [at(321), at(322)],
      masters: [at(421)],
      workers: [at(521), at(522), at(523)],
      processes: expect.any(Array) as unknown,
    });
    expect(Object.keys(first)).toEqual([
      'ready',
      'consensus',
      'storage',
      'coordinators',
      'masters',
      'workers',
      'processes',
    ]);
    expect(first.processes).toHaveLength(12);
    expect(first.processes[3]).toEqual({
      service: 'storage-shard',
      id: 'storage-shard-1',
      pid: expect.any(Number) as number,
      address: at(121),
      dataDir: path.join(place.data, 'storage-shard-1'),
    });

    expect((await place.synod(['kv', 'put', 'kept', 'over restarts'])).code).toBe(0);
    const { code, out, err } = await synod(['up', '--data', place.data]);
    expect({ code, out: out.toString() }).toEqual({ code: 1, out: '' });
    expect(err).toBe(`error: ${place.data} is in use by process ${up.pid}; stop it, or use another folder\n`);
    // Nor may the services of the folder be served one by one.
    expect((await synod(['serve', 'consensus', '--data', place.data])).err).toContain(`in use by process ${up.pid}`);
    expect(up.stderr).toBe('');
    await stopped(up);
  });

  it('resumes with the same ids, ports and data, and starts again what dies', async () => {
    const before = readFileSync(path.join(place.data, 'cluster.json'), 'utf8');
    const up = place.up(['--workers', '5']);
    const ready = await up.ready();
    const names = ({ processes }: ReadyLine): unknown => processes.map(({ pid: _, ...rest }) => rest);
    expect(names(ready)).toEqual(names(first));
    expect(readFileSync(path.join(place.data, 'cluster.json'), 'utf8')).toBe(before);
    expect(up.stderr).toMatch(/^not heeded: --workers: .*cluster.json keeps what the first start chose.*\n$/);
    expect((await place.synod(['kv', 'get', 'kept'])).out.toString()).toBe('over restarts');

    const victim = ready.processes.find(({ id }) => id === 'storage-shard-2')?.pid ?? 0;
    process.kill(victim, 'SIGKILL');
    await up.said(`storage-shard-2 (pid ${victim}) died: SIGKILL\n`);
    await up.said(/storage-shard-2 was started again \(pid \d+\)\n/);
    expect((await place.synod(['kv', 'get', 'kept'])).out.toString()).toBe('over restarts');
    await stopped(up);
  });
});

describe('synod up that cannot start', () => {
  let small: Place;
  beforeAll(async () => {
    small = await Place.find();
  });
  afterAll(() => small.remove());

  /** All that `up` has to say: one line, and nothing left. */
  async function refusal(args: readonly string[] = [], env: Readonly<Record<string, string>> = {}): Promise<string> {
    const up = small.up(args, { env });
    expect(await up.ended()).toBe(1);
    expect(up.stdout).toBe('');
    expect(up.stderr).toMatch(/^error: [^\n]*\n$/);
    expect(small.processes()).toEqual([]);
    return up.stderr;
  }

  it('names a port that is taken, and whose it is to be; writes nothing', async () => {
    const port = small.portBase + 222;
    const holder = await holdPort(port);
    expect(await refusal(TINY)).toContain(`port ${port} (of storage-shard-2) is in use by another program`);
    await new Promise((resolve) => holder.close(resolve));
    expect(readdirSync(small.data)).toEqual([]);
  });

  it('leaves down what dies, with --no-restart', async () => {
    const up = small.up([...TINY, '--no-restart']);
    const victim = (await up.ready()).processes.find(({ id }) => id === 'mapreduce-worker-1')?.pid ?? 0;
    process.kill(victim, 'SIGKILL');
    await up.said(`mapreduce-worker-1 (pid ${victim}) died: SIGKILL\n`);
    expect((await small.synod(['kv', 'put', 'still', 'there'])).code).toBe(0);
    expect(up.stderr).toBe(`mapreduce-worker-1 (pid ${victim}) died: SIGKILL\n`);
    up.kill('SIGINT');
    expect(await up.ended()).toBe(0);
    expect(small.processes()).toEqual([]);
  });

  it.each([
    ['another version', { format: 99 }, /storage-shard-2 does not start: .*has format 99, this release reads 1;/],
    ['another node', { nodeId: 'elsewhere' }, /storage-shard-2 does not start: .* belongs to node elsewhere, not to/],
    [
      'another cluster',
      { clusterId: 'c0ffee' },
      /storage-shard-2 does not start: .*storage-shard-2 belongs to cluster c0ffee, /,
    ],
  ])('refuses a data folder of %s, and leaves it as it is', async (_, change, message) => {
    const file = path.join(small.data, 'storage-shard-2', 'VERSION');
    const version = readFileSync(file, 'utf8');
    const foreign = JSON.stringify({ ...(JSON.parse(version) as object), ...change });
    writeFileSync(file, foreign);
    try {
      expect(await refusal()).toMatch(message);
      expect(readFileSync(file, 'utf8')).toBe(foreign);
    } finally {
      writeFileSync(file, version);
    }
  });

  it('refuses a cluster file that it does not understand', async () => {
    const file = path.join(small.data, 'cluster.json');
    const good = readFileSync(file, 'utf8');
    writeFileSync(file, good.replace('"format": 1', '"format": 2'));
    expect(await refusal()).toContain(`${file} is not a cluster file of format 1`);
    writeFileSync(file, good);
  });

  it('passes on what a service says of a malformed setting', async () => {
    const message = 'consensus-1 does not start: --shards 7: a power of two is wanted';
    expect(await refusal([], { SYNOD_SHARDS: '7' })).toContain(message);
  });
});

function holdPort(port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}
