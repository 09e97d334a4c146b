import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import {
  commandOf,
  descendantsOf,
  eventually,
  isAlive,
  msUntilGone,
  Place,
  SMALL,
  STARTS,
  synod,
  type Seen,
} from './test-cluster';

const WITHIN_MS = 5_000;

let place: Place;
beforeAll(async () => {
  place = await Place.find();
});
afterAll(() => place.remove());

/** The processes of the cluster and its executors, with the chain of processes that started them. */
function everyProcess(pid: number): Seen[] {
  const seen = descendantsOf(pid);
  expect(seen.length).toBeGreaterThanOrEqual(8);
  return seen;
}

describe('a cluster in the foreground', () => {
  it.each(['SIGTERM', 'SIGKILL'] as const)('is gone soon after %s to the npx that started it', async (signal) => {
    const up = place.up(SMALL, STARTS.byNpx);
    await up.ready();
    const all = everyProcess(up.pid);
    up.kill(signal);
    expect(await msUntilGone(all)).toBeLessThan(WITHIN_MS);
    expect(place.processes()).toEqual([]);
  });

  it('is gone soon after SIGKILL, with an executor in an endless loop', async () => {
    const up = place.up();
    await up.ready();
    const program = path.join(place.folder, 'loop.ts');
    writeFileSync(program, 'export default { map(): void { for (;;); }, reduce(): void {} };\n');
    const output = path.join(place.folder, 'never');
    const job = place.synod(['mr', 'run', program, '--input', program, '--output', output]);
    await eventually('an executor to be busy', () => everyProcess(up.pid).some(isBusyExecutor), 20_000);
    const all = everyProcess(up.pid);
    up.kill('SIGKILL');
    expect(await msUntilGone(all)).toBeLessThan(WITHIN_MS);
    expect((await job).code).toBe(1);
    expect(place.processes()).toEqual([]);
  });

  it('outlives its shell and a hangup under nohup, and still heeds SIGTERM', async () => {
    const out = path.join(place.folder, 'nohup.txt');
    const command = [...STARTS.directly, 'up', '--data', place.data];
    const script = 'out=$1; shift; nohup "$@" >"$out" 2>&1 </dev/null & echo $!';
    const shell = spawn('sh', ['-c', script, 'sh', out, ...command], {
      detached: true,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let echoed = '';
    shell.stdout.on('data', (chunk: Buffer) => (echoed += chunk.toString()));
    await new Promise((resolve) => shell.on('close', resolve));
    const pid = Number(echoed);
    const output = (): string => readFileSync(out, 'utf8');
    await eventually('the cluster to be ready', () => output().includes('"ready":true'), 60_000);
    const all = everyProcess(pid);

    // What a terminal does when it goes away: it tells the whole group that it has started.
    process.kill(-(shell.pid ?? 0), 'SIGHUP');
    expect((await place.synod(['kv', 'put', 'still', 'here'])).code).toBe(0);
    expect(all.every(isAlive)).toBe(true);
    expect(output()).not.toContain('died');

    process.kill(pid, 'SIGTERM');
    expect(await msUntilGone(all)).toBeLessThan(WITHIN_MS);
    await eventually('synod to be gone', () => place.processes().length === 0, WITHIN_MS);
  });
});

describe('a client command', () => {
  it('names what it tried when nothing answers', async () => {
    const { code, out, err } = await synod(['status'], { env: { SYNOD_ENDPOINTS: place.endpoint } });
    expect({ code, out: out.toString() }).toEqual({ code: 1, out: '' });
    expect(err).toMatch(/^error: no consensus member answers at [^\n]*\n$/);
    expect(err).toContain(place.endpoint);
    const flag = await synod(['kv', 'get', 'a', '--endpoints', '127.0.0.1:1,127.0.0.1:2']);
    expect(flag.code).toBe(1);
    expect(flag.err).toMatch(/^error: no consensus member answers at 127.0.0.1:1, 127.0.0.1:2: [^\n]*\n$/);
  });

  it.each([
    ['an unknown command', ['frobnicate'], "error: unknown command 'frobnicate'; see --help\n"],
    ['an unknown command of a command', ['kv', 'frob'], "error: unknown command 'frob'; see --help\n"],
    ['an unknown flag', ['kv', 'get', 'a', '--frob'], "error: unknown option '--frob'; see --help\n"],
    ['no command', [], 'error: a command is missing; see --help\n'],
    ['a missing argument', ['kv', 'put', 'a'], "error: missing required argument 'value'; see --help\n"],
    ['an argument too many', ['kv', 'get', 'a', 'b'], /^error: too many arguments.*; see --help\n$/],
    ['an empty key', ['kv', 'put', '', 'v'], 'error: the key is empty; a key has 1 to 1,024 bytes\n'],
    ['a limit that is none', ['kv', 'scan', 'a', '--limit', '-1'], /^error: .*'-1' is invalid.*; see --help\n$/],
    [
      'an address that is none',
      ['status', '--endpoints', 'here'],
      /^error: --endpoints: "here" is not an address;.*\n$/,
    ],
    ['a missing folder', ['up'], "error: required option '--data <folder>' not specified; see --help\n"],
    ['an even consensus', ['up', '--data', '/nowhere', '--consensus', '2'], /'2' is invalid.*; see --help\n$/],
    ['a port that is none', ['up', '--data', '/nowhere', '--port-base', 'x'], /'x' is invalid.*; see --help\n$/],
    ['an unknown service', ['serve', 'frob', '--data', '/nowhere'], /^error: unknown service frob; one of .*\n$/],
    [
      'an unknown program',
      ['mr', 'run', 'frob', '--input', 'x', '--output', 'y'],
      /^error: unknown program frob;.*\n$/,
    ],
  ])('refuses %s in one line, with exit code 2', async (_, args, message) => {
    const { code, out, err } = await synod(args);
    expect({ code, out: out.toString() }).toEqual({ code: 2, out: '' });
    if (typeof message === 'string') expect(err).toBe(message);
    else expect(err).toMatch(message);
    expect(err.trimEnd()).not.toContain('\n');
  });

  it.each([[], ['up'], ['serve'], ['kv'], ['kv', 'scan'], ['txn'], ['mr', 'run'], ['status'], ['ring']])(
    'explains itself: %s %s',
    async (...command) => {
      const { code, out, err } = await synod([...command, '--help']);
      expect({ code, err }).toEqual({ code: 0, err: '' });
      expect(out.toString()).toContain(`Usage: ${['synod', ...command].join(' ')}`);
    },
  );
});

/** In an endless loop, as against waiting for work: it uses a processor. */
function isBusyExecutor({ pid }: Seen): boolean {
  if (!commandOf(pid).includes('executor-main.js')) return false;
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') R ');
  } catch {
    return false;
  }
}
