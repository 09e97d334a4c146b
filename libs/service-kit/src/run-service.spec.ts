import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buildSync } from 'esbuild';

const WORKSPACE = path.resolve(__dirname, '../../..');

/** A service that does what its first argument says; its standard output tells how far it got. */
const PROGRAM = `
  import { InvariantViolation } from '@synod/invariant';
  import { SynodError } from '@synod/runtime';
  import { commonSettings, loadConfig, runService, ServiceLog, StartAnew } from '@synod/service-kit';

  let starts = 0;
  void runService(async (end) => {
    starts++;
    const [what, ...argv] = process.argv.slice(2);
    if (what === 'configure') loadConfig('test', 'a test', commonSettings('127.0.0.1:1'), { argv, env: {} });
    if (what === 'refuse') throw new SynodError('failed-precondition', 'the data folder belongs\\nto another node');
    if (what === 'stumble') throw new TypeError('undefined is not a function');
    if (what === 'log') new ServiceLog({ service: 'test', node: 'n1' }, 'info').info('listening', { revision: 2n ** 60n });
    if (what === 'break') setImmediate(() => end(new InvariantViolation('promise-never-decreases', '3 < 4')));
    if (what === 'anew' && starts === 1) setImmediate(() => end(new StartAnew('found out more')));
    if (what === 'throw') setImmediate(() => { throw new Error('out of the blue'); });
    const keepAlive = setInterval(() => undefined, 1_000);
    process.stdout.write('started\\n');
    return {
      stop: async () => {
        clearInterval(keepAlive);
        if (what === 'hang') await new Promise(() => setInterval(() => undefined, 1_000));
        process.stdout.write('stopped\\n');
      },
    };
  });
`;

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

describe('runService', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'synod-service-'));
    buildSync({
      stdin: { contents: PROGRAM, resolveDir: WORKSPACE, loader: 'ts' },
      bundle: true,
      platform: 'node',
      packages: 'external',
      alias: Object.fromEntries(
        readdirSync(path.join(WORKSPACE, 'libs')).map((name) => [
          `@synod/${name}`,
          path.join(WORKSPACE, 'libs', name, 'src/index.ts'),
        ]),
      ),
      outfile: path.join(folder, 'service.js'),
    });
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  function start(
    args: readonly string[],
    env: Record<string, string> = {},
  ): { child: ChildProcess; ended: Promise<Ended> } {
    const child = spawn(process.execPath, [path.join(folder, 'service.js'), ...args], {
      // Whatever started this test is not the service's parent.
      env: { ...process.env, SYNOD_PARENT_PID: '', NODE_PATH: path.join(WORKSPACE, 'node_modules'), ...env },
    });
    let [out, err] = ['', ''];
    child.stdout.on('data', (text: Buffer) => (out += text.toString()));
    child.stderr.on('data', (text: Buffer) => (err += text.toString()));
    const ended = new Promise<Ended>((resolve) => child.on('close', (code) => resolve({ code, out, err })));
    return { child, ended };
  }

  async function started(child: ChildProcess): Promise<void> {
    await new Promise<void>((resolve) => child.stdout?.once('data', () => resolve()));
  }

  it.each(['SIGTERM', 'SIGINT'] as const)('stops in good order on %s', async (signal) => {
    const { child, ended } = start(['serve']);
    await started(child);
    child.kill(signal);
    expect(await ended).toEqual({ code: 0, out: 'started\nstopped\n', err: '' });
  });

  it.each([
    ['configure', ['--colour', 'red'], 2, 'error: unknown argument --colour; see --help\n'],
    ['configure', [], 2, 'error: --node-id is missing (or SYNOD_NODE_ID); see --help\n'],
    ['refuse', [], 1, 'error: the data folder belongs to another node\n'],
  ])('says what is wrong in one line: %s %j', async (what, argv, code, err) => {
    expect(await start([what, ...argv]).ended).toEqual({ code, out: '', err });
  });

  it('prints help, which is no failure', async () => {
    const { code, out, err } = await start(['configure', '--help']).ended;
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(/^test: a test\n/);
  });

  it.each([
    ['stumble', /^error: undefined is not a function\n\{"level":"error","stack":"TypeError: .*\n$/],
    ['throw', /^error: out of the blue\n\{"level":"error","stack":"Error: .*\n$/],
    [
      'break',
      /^error: invariant promise-never-decreases is broken: 3 < 4\n.*\nerror: stopped, so that nothing is built on it\n$/,
    ],
  ])('leaves the trace of a bug in the log, and does not stop in good order: %s', async (what, err) => {
    const seen = await start([what]).ended;
    expect(seen.code).toBe(1);
    expect(seen.err).toMatch(err);
    expect(seen.out).not.toContain('stopped');
  });

  it('stops in good order and starts again in the same process when it asks for that', async () => {
    const { child, ended } = start(['anew']);
    let out = '';
    await new Promise<void>((resolve) =>
      child.stdout?.on('data', (text: Buffer) => (out += text.toString()).split('started').length > 2 && resolve()),
    );
    child.kill('SIGTERM');
    expect(await ended).toEqual({ code: 0, out: 'started\nstopped\nstarted\nstopped\n', err: '' });
  });

  it('stops when the process that started it is gone', async () => {
    // Another parent than the one that it really has: as if that one had died and init had adopted the service.
    const { ended } = start(['serve'], { SYNOD_PARENT_PID: String(process.pid + 1) });
    expect((await ended).code).toBe(0);
  });

  it('stays while the process that started it lives', async () => {
    const { child, ended } = start(['serve'], { SYNOD_PARENT_PID: String(process.pid) });
    await started(child);
    child.kill('SIGTERM');
    expect((await ended).out).toBe('started\nstopped\n');
  });

  it('does not wait for ever for a service that cannot stop', async () => {
    const { child, ended } = start(['hang']);
    await started(child);
    child.kill('SIGTERM');
    expect(await ended).toEqual({
      code: 1,
      out: 'started\n',
      err: 'error: could not stop within 4000 ms; cut short\n',
    });
  }, 15_000);

  it('logs JSON lines on stderr with service and node', async () => {
    const { child, ended } = start(['log']);
    await started(child);
    child.kill('SIGTERM');
    const line = JSON.parse((await ended).err) as Record<string, unknown>;
    expect(line).toMatchObject({
      level: 'info',
      message: 'listening',
      service: 'test',
      node: 'n1',
      revision: '1152921504606846976',
    });
    expect(line['timestamp']).toMatch(/^\d{4}-\d\d-\d\dT/);
  });
});
