import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { builtProgram, finished, synod, WORKSPACE } from '@synod/test-processes';
import { STARTS } from './test-cluster';

// Each is a process or two of its own, and most of it is their start: they run a few at a time.
describe('a client command', () => {
  it.concurrent('names what it tried when nothing answers', async () => {
    const nobody = '127.0.0.1:1,127.0.0.1:2';
    const [flag, variable] = await Promise.all([
      synod(['kv', 'get', 'a', '--endpoints', nobody], { env: { SYNOD_ENDPOINTS: '127.0.0.1:3' } }),
      synod(['status'], { env: { SYNOD_ENDPOINTS: '127.0.0.1:3' } }),
    ]);
    expect(flag.err).toMatch(/^error: no consensus member answers at 127.0.0.1:1, 127.0.0.1:2: [^\n]*\n$/);
    expect(variable.err).toMatch(/^error: no consensus member answers at 127.0.0.1:3: [^\n]*\n$/);
    for (const { code, out } of [flag, variable]) expect({ code, out: out.toString() }).toEqual({ code: 1, out: '' });
  });

  it.concurrent.each([
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
    [
      'a compaction of nothing',
      ['snapshot', 'restore', 'x', '--data', '/nowhere', '--mark-compacted'],
      'error: --mark-compacted needs a --bump-revision above 0\n',
    ],
    [
      'an even restore',
      ['snapshot', 'restore', 'x', '--data', '/nowhere', '--members', 'a,b'],
      'error: 1, 3, 5 or 7 members are wanted, each with a name of its own\n',
    ],
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

  it.concurrent.each([
    ...['', ' up', ' serve', ' kv', ' kv scan', ' txn', ' mr', ' mr run'],
    ...[' status', ' ring', ' snapshot', ' snapshot restore'],
  ])('explains itself: synod%s --help', async (command) => {
    const { code, out, err } = await synod([...command.split(' ').slice(1), '--help']);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out.toString()).toContain(`Usage: synod${command} `);
  });

  it.concurrent.each([
    ['synod', 'cli', ''],
    ['a service', 'consensus', 'consensus '],
  ])('says which release it is, as does what it starts: %s', async (_, app, prefix) => {
    const { version } = JSON.parse(readFileSync(path.join(WORKSPACE, 'package.json'), 'utf8')) as { version: string };
    const { code, out, err } = await finished(process.execPath, [builtProgram(app), '--version']);
    expect({ code, out: out.toString(), err }).toEqual({ code: 0, out: `${prefix}${version}\n`, err: '' });
  });

  it.concurrent('ends quietly when its reader has had enough', async () => {
    const child = spawn('sh', ['-c', `"$@" --help | true`, 'sh', ...STARTS.directly], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let err = '';
    child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
    await new Promise((resolve) => child.on('close', resolve));
    expect(err).toBe('');
  });
});
