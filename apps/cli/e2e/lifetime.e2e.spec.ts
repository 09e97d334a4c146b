import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { eventually } from '@synod/eventually';
import { descendantsOf, isAlive, msUntilGone, type Seen } from '@synod/test-processes';
import { Place, soon, STARTS, TINY, TINY_COUNT } from './test-cluster';

let place: Place;
beforeAll(async () => {
  place = await Place.find();
});
afterAll(() => place.remove());

/** The processes of the cluster and its executors, with the chain of processes that started them. */
function everyProcess(pid: number): Seen[] {
  const seen = descendantsOf(pid);
  expect(seen.length).toBeGreaterThanOrEqual(TINY_COUNT);
  return seen;
}

describe('a cluster in the foreground', () => {
  it.each(['SIGTERM', 'SIGKILL'] as const)('is gone soon after %s to the npx that started it', async (signal) => {
    const up = place.up(TINY, { start: STARTS.byNpx });
    await up.ready();
    const all = everyProcess(up.pid);
    up.kill(signal);
    expect(await msUntilGone(all)).toBeLessThan(up.soonMs);
    expect(place.processes()).toEqual([]);
  });

  it('is gone soon after SIGKILL, with an executor in an endless loop', async () => {
    const up = place.up();
    await up.ready();
    const program = path.join(place.folder, 'loop.ts');
    const loops = path.join(place.folder, 'loops');
    const source = `import { writeFileSync } from 'node:fs';
      export default { map(): void { writeFileSync(${JSON.stringify(loops)}, ''); for (;;); }, reduce(): void {} };\n`;
    writeFileSync(program, source);
    const output = path.join(place.folder, 'never');
    const job = place.synod(['mr', 'run', program, '--input', program, '--output', output]);
    await eventually('an executor to be in its loop', () => existsSync(loops));
    const all = everyProcess(up.pid);
    up.kill('SIGKILL');
    expect(await msUntilGone(all)).toBeLessThan(up.soonMs);
    expect((await job).code).toBe(1);
    expect(place.processes()).toEqual([]);
  });

  it('outlives its shell and a hangup under nohup, and still heeds SIGTERM', async () => {
    const out = path.join(place.folder, 'nohup.txt');
    const command = [...STARTS.directly, 'up', '--data', place.data];
    const script = 'out=$1; shift; nohup "$@" >"$out" 2>&1 </dev/null & echo $!';
    const since = performance.now();
    const shell = spawn('sh', ['-c', script, 'sh', out, ...command], {
      detached: true,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let echoed = '';
    shell.stdout.on('data', (chunk: Buffer) => (echoed += chunk.toString()));
    await new Promise((resolve) => shell.on('close', resolve));
    const pid = Number(echoed);
    const output = (): string => readFileSync(out, 'utf8');
    await eventually('the cluster to be ready', () => output().includes('"ready":true'));
    const startMs = performance.now() - since;
    const all = everyProcess(pid);

    // What a terminal does when it goes away: it tells the whole group that it has started.
    process.kill(-(shell.pid ?? 0), 'SIGHUP');
    expect((await place.synod(['kv', 'put', 'still', 'here'])).code).toBe(0);
    expect(all.every(isAlive)).toBe(true);
    expect(output()).not.toContain('died');

    process.kill(pid, 'SIGTERM');
    expect(await msUntilGone(all)).toBeLessThan(soon(startMs));
    await eventually('synod to be gone', () => place.processes().length === 0);
  });
});
