import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { serviceDefinition, type MessageShape, type MethodDefinition } from '@synod/contracts';
import { eventually } from '@synod/eventually';
import { GrpcChannels } from '@synod/rpc';
import type { Finished, RunOptions } from '@synod/test-processes';
import { Place, SMALL, type ReadyLine, type Up } from './test-cluster';

let place: Place;
let up: Up;
let ready: ReadyLine;
beforeAll(async () => {
  place = await Place.find();
  up = place.up(SMALL);
  ready = await up.ready();
  writeInput();
});
// Each test has keys and files of its own. They are many processes, and most of it is their start: they run a few at a time.
const input = (): string => path.join(place.folder, 'in');
function writeInput(): void {
  mkdirSync(path.join(input(), 'sub'), { recursive: true });
  writeFileSync(path.join(input(), 'one.txt'), 'b a\tb\r\nB b\n');
  writeFileSync(path.join(input(), 'sub/t\tw,o%\n.txt'), Buffer.from('a \xff \x00x', 'latin1'));
  writeFileSync(path.join(input(), 'skipped.md'), 'c');
}
afterAll(async () => {
  up.kill('SIGTERM');
  await up.ended();
  await place.remove();
});

/** Runs a command that must succeed. @returns what it printed */
async function printed(args: readonly string[], options?: RunOptions): Promise<Buffer> {
  const { code, out, err } = await place.synod(args, options);
  expect({ code, err }).toEqual({ code: 0, err: '' });
  return out;
}

/** What a command that must fail says. */
async function failure(args: readonly string[], code: 1 | 2, options?: RunOptions): Promise<string> {
  const finished: Finished = await place.synod(args, options);
  expect({ code: finished.code, out: finished.out.toString() }).toEqual({ code, out: '' });
  expect(finished.err).toMatch(/^error: [^\n]*\n$/);
  return finished.err;
}

describe('synod kv', () => {
  const bytes = Buffer.from([0, 9, 10, 0x20, 0x5c, 0x7e, 0x7f, 0x80, 0xff]);

  it.concurrent('keeps raw bytes, from an argument or from standard input', async () => {
    await printed(['kv', 'put', 'raw', '-'], { input: bytes });
    expect(await printed(['kv', 'get', 'raw'])).toEqual(bytes);
    await printed(['kv', 'put', 'raw', 'näher']);
    expect(await printed(['kv', 'get', 'raw'])).toEqual(Buffer.from('näher'));
    await printed(['kv', 'put', 'empty', '']);
    expect(await printed(['kv', 'get', 'empty'])).toEqual(Buffer.alloc(0));
  });

  it.concurrent('knows an absent key from an empty one', async () => {
    await printed(['kv', 'put', 'gone', 'soon']);
    await printed(['kv', 'del', 'gone']);
    expect(await failure(['kv', 'get', 'gone'], 1)).toBe('error: there is no key gone\n');
    // Deleting what is not there is no failure: the outcome is the same.
    await printed(['kv', 'del', 'gone']);
  });

  it.concurrent('scans a prefix in byte order, escaped or in base64, up to a limit', async () => {
    await printed(['kv', 'put', 'scan/b', '-'], { input: bytes });
    await printed(['kv', 'put', 'scan/a\\é', 'plain']);
    await printed(['kv', 'put', 'scan/c', '']);
    const escaped = ['scan/a\\x5c\\xc3\\xa9\tplain\n', 'scan/b\t\\x00\\x09\\x0a \\x5c~\\x7f\\x80\\xff\n', 'scan/c\t\n'];
    expect((await printed(['kv', 'scan', 'scan/'])).toString()).toBe(escaped.join(''));
    expect((await printed(['kv', 'scan', 'scan/', '--limit', '2'])).toString()).toBe(escaped.slice(0, 2).join(''));
    expect((await printed(['kv', 'scan', 'scan/none'])).toString()).toBe('');
    const rows = (await printed(['kv', 'scan', 'scan/', '--json'])).toString().trimEnd().split('\n');
    expect(rows.map((row) => JSON.parse(row) as unknown)).toEqual([
      { key: Buffer.from('scan/a\\é').toString('base64'), value: Buffer.from('plain').toString('base64') },
      { key: Buffer.from('scan/b').toString('base64'), value: bytes.toString('base64') },
      { key: Buffer.from('scan/c').toString('base64'), value: '' },
    ]);
  });

  it.concurrent('names a value and a key that are too long', async () => {
    expect(await failure(['kv', 'put', 'big', '-'], 1, { input: Buffer.alloc(1_048_577) })).toMatch(
      /1,?048,?576|1 MiB/,
    );
    expect(await failure(['kv', 'put', 'k'.repeat(1_025), 'v'], 1)).toMatch(/1,?024/);
    await failure(['kv', 'get', 'big'], 1);
  });
});

describe('synod txn', () => {
  it.concurrent('commits its lines as one, and prints the gets in order', async () => {
    const script =
      'put "t/1" "one"\nget "t/1"\nget "t/none"\n\nput "t/2" "a\\n\\"b\\""\ndel "t/1"\nget "t/1"\nget "t/2"\n';
    const gets = 't/1\tone\nt/none\nt/1\nt/2\ta\\x0a"b"\n';
    expect((await printed(['txn'], { input: script })).toString()).toBe(gets);
    const file = path.join(place.folder, 'script');
    writeFileSync(file, script);
    expect((await printed(['txn', file])).toString()).toBe(gets);
    expect((await printed(['kv', 'scan', 't/'])).toString()).toBe('t/2\ta\\x0a"b"\n');
  });

  it.concurrent('refuses what is no script, and writes nothing', async () => {
    const refused = await Promise.all(
      ['put "n/1" "x"\nfrob "y"\n', 'put "n/1" "x" "y"\n', 'put "n/1" "x"\nget ""\n', "put 'n/1' 'x'\n"].map((input) =>
        failure(['txn'], 2, { input }),
      ),
    );
    expect(refused).toEqual([
      expect.stringContaining('line 2 begins with none of get, put, del: frob "y"'),
      expect.stringContaining('line 1: put takes 2 JSON string(s), 3 given'),
      expect.stringContaining('line 2: the key is empty'),
      expect.stringContaining('line 1: not a JSON string'),
    ]);
    expect((await printed(['kv', 'scan', 'n/'])).toString()).toBe('');
  });

  it.concurrent('names a script that is missing', async () => {
    expect(await failure(['txn', '/nowhere/script'], 1)).toContain('/nowhere/script');
  });
});

describe('synod mr run', () => {
  const output = (name: string): string => path.join(place.folder, name);
  /** The lines of all parts, each part in its order. */
  function partsOf(name: string): string {
    const names = readdirSync(output(name)).sort();
    expect(names).toEqual(names.map((_, index) => `part-${String(index).padStart(5, '0')}`));
    return names.map((part) => readFileSync(path.join(output(name), part), 'latin1')).join('');
  }

  it.concurrent('counts the words of files', async () => {
    const args = ['mr', 'run', 'wordcount', '--input', `${input()}/**/*.txt`, '--output', output('counts')];
    await printed(args);
    expect(partsOf('counts')).toBe('\0x\t1\nB\t1\na\t2\nb\t3\n\xff\t1\n');
    expect(await failure(args, 1)).toContain(`the output ${output('counts')} exists`);
    expect(partsOf('counts')).toBe('\0x\t1\nB\t1\na\t2\nb\t3\n\xff\t1\n');
  });

  it.concurrent('indexes files by their path below the glob, and tells of the job in JSON', async () => {
    const out = await printed([
      ...['mr', 'run', 'index', '--input', `${input()}/**/*.txt`, '--output', output('index'), '--json'],
    ]);
    expect(JSON.parse(out.toString())).toMatchObject({ state: 'succeeded', documents: 2, output: output('index') });
    const other = 'sub/t%09w%2Co%25%0A.txt';
    expect(partsOf('index')).toBe(`\0x\t${other}\nB\tone.txt\na\tone.txt,${other}\nb\tone.txt\n\xff\t${other}\n`);
  });

  it.concurrent('reads a snapshot of the store', async () => {
    await printed(['txn'], { input: 'put "doc/1" "x y x"\nput "doc/2,\\t" "y"\nput "dog" "z"\n' });
    await printed(['mr', 'run', 'index', '--input', 'store:doc/', '--output', output('store-index')]);
    expect(partsOf('store-index')).toBe('x\tdoc/1\ny\tdoc/1,doc/2%2C%09\n');
  });

  it.concurrent('runs a program of one TypeScript file', async () => {
    const program = path.join(place.folder, 'lengths.ts');
    writeFileSync(
      program,
      `type Emit = (key: string, value: string) => void;
       export default {
         map(record: unknown, emit: Emit): void { void record; emit('records', '1'); },
         combine(key: string, values: Iterable<string>, emit: Emit): void { emit(key, String(total(values))); },
         reduce(key: string, values: Iterable<string>, emit: Emit): void { emit(key, String(total(values))); },
       };
       function total(values: Iterable<string>): number { let sum = 0; for (const value of values) sum += Number(value); return sum; }`,
    );
    await printed(['mr', 'run', program, '--input', `${input()}/one.txt`, '--output', output('lengths')]);
    expect(partsOf('lengths')).toBe('records\t2\n');
  });

  it.concurrent.each([
    ['a missing folder', 'no-folder', ['wordcount', '--input', '/nowhere/*.txt'], /there is no folder \/nowhere\//],
    ['a missing program', 'no-program', ['nowhere.ts', '--input', '.'], /nowhere\.ts: Could not resolve/],
  ])('names %s, and leaves no output', async (_, name, args, message) => {
    expect(await failure(['mr', 'run', ...args, '--output', output(name)], 1)).toMatch(message);
    expect(readdirSync(place.folder)).not.toContain(name);
  });

  it.concurrent('says why a program fails, and leaves no output', async () => {
    const program = path.join(place.folder, 'fails.ts');
    writeFileSync(program, `export default { map(): void { throw new Error('boo'); }, reduce(): void {} };\n`);
    const args = ['mr', 'run', program, '--input', `${input()}/one.txt`, '--output', output('failed')];
    expect(await failure(args, 1)).toMatch(/map task 0 failed .*boo/);
    expect(readdirSync(place.folder)).not.toContain('failed');
  });
});

describe('synod status and ring', () => {
  it.concurrent('show every node, every shard, and their balance', async () => {
    interface Status {
      readonly nodes: readonly { nodeId: string; address: string }[];
      readonly shards: { readonly count: number; readonly led: number };
    }
    // On a busy machine a shard may be without its leader for a moment.
    const status = await eventually('every shard to be led', async () => {
      const shown = JSON.parse((await printed(['status', '--json'])).toString()) as Status;
      return shown.shards.led === 64 && shown;
    });
    expect(status.nodes.map(({ nodeId, address }) => `${nodeId} ${address}`).sort()).toEqual(
      ready.processes.map(({ id, address }) => `${id} ${address}`).sort(),
    );
    expect(status.shards).toEqual({ count: 64, led: 64 });
    const text = await eventually('the same as text', async () => {
      const shown = (await printed(['status'])).toString();
      return shown.includes('64 of 64 shards have a leader') && shown;
    });
    for (const { id, address } of ready.processes) expect(text).toMatch(new RegExp(`${id} +${address} `));

    interface Ring {
      readonly slots: number;
      readonly shards: readonly { slots: { first: number; end: number }; replicas: string[]; leader: string }[];
      readonly balance: readonly { replicas: number; leaders: number }[];
    }
    const ring = await eventually('every shard of the ring to be led', async () => {
      const shown = JSON.parse((await printed(['ring', '--json'])).toString()) as Ring;
      return shown.balance.reduce((sum, { leaders }) => sum + leaders, 0) === 64 && shown;
    });
    expect(ring.slots).toBe(16_384);
    expect(ring.shards.map(({ slots }) => slots)).toEqual(
      Array.from({ length: 64 }, (_, shard) => ({ first: 256 * shard, end: 256 * (shard + 1) })),
    );
    for (const { replicas, leader } of ring.shards) {
      expect(new Set(replicas).size).toBe(3);
      expect(replicas).toContain(leader);
    }
    expect(ring.balance.map(({ replicas }) => replicas)).toEqual([64, 64, 64]);
    expect((await printed(['ring'])).toString()).toMatch(/^shard +slots +replicas +leader\n0 +0–255 +storage-shard-/m);
  });
});

describe('synod snapshot', () => {
  it.concurrent('saves the coordination keys, tells what is in them, and makes folders of a new cluster', async () => {
    const file = path.join(place.folder, 'saved');
    expect((await printed(['snapshot', 'save', file])).toString()).toMatch(/^saved .*saved, \d+ bytes from 127/);
    expect(await failure(['snapshot', 'save', file], 1)).toContain('EEXIST');
    const status = JSON.parse((await printed(['snapshot', 'status', file, '--json'])).toString()) as object;
    expect(status).toMatchObject({ member: 'consensus-1', revision: expect.stringMatching(/^\d+$/) as string });
    const folder = path.join(place.folder, 'restored');
    const args = ['snapshot', 'restore', file, '--data', folder];
    expect(JSON.parse((await printed(args)).toString())).toMatchObject({ cluster: expect.any(String) as string });
    expect(readdirSync(folder)).toEqual(['consensus-1', 'consensus-2', 'consensus-3']);
    expect(await failure(args, 1)).toBe(
      `error: ${folder} exists; a snapshot is restored into a folder that does not\n`,
    );
    expect(await failure(['snapshot', 'status', path.join(place.folder, 'none')], 1)).toContain('cannot be read');
  });
});

describe('a gRPC client', () => {
  const STATUS = { invalidArgument: 3, resourceExhausted: 8 };
  const KV = serviceDefinition('etcdserverpb.KV');
  const STORAGE = serviceDefinition('synod.storage.v1.Storage');
  const TXN = serviceDefinition('synod.txn.v1.TransactionCoordinator');
  const channels = new GrpcChannels();
  afterAll(() => channels.close());

  async function statusOf<Request extends MessageShape, Response extends MessageShape>(
    address: string | undefined,
    method: MethodDefinition<Request, Response>,
    request: Request['input'],
  ): Promise<{ code: number; details: string }> {
    const answer = channels.callUnary(address ?? '', method, request, { deadlineMs: 10_000 });
    const error = await answer.then(
      () => undefined,
      (reason: Error) => reason,
    );
    const { code, details } = error?.cause as { code: number; details: string };
    return { code, details };
  }

  it.concurrent('is told of an empty key', async () => {
    const key = Buffer.alloc(0);
    const code = STATUS.invalidArgument;
    expect(await statusOf(ready.consensus[0], KV.Put, { key })).toMatchObject({ code });
    expect(await statusOf(ready.storage[0], STORAGE.Get, { key })).toMatchObject({ code });
    const { transaction } = await channels.callUnary(
      ready.coordinators[0] ?? '',
      TXN.Begin,
      {},
      { deadlineMs: 10_000 },
    );
    expect(await statusOf(ready.coordinators[0], TXN.Put, { transaction, key })).toMatchObject({ code });
  });

  it.concurrent('is told of a message over the limit, and is still served', async () => {
    const key = Buffer.alloc(17 * 1024 * 1024, 1);
    const code = STATUS.resourceExhausted;
    expect(await statusOf(ready.consensus[0], KV.Put, { key })).toMatchObject({ code });
    expect(await statusOf(ready.storage[0], STORAGE.Get, { key })).toMatchObject({ code });
    expect(await statusOf(ready.coordinators[0], TXN.Get, { key })).toMatchObject({ code });
    await printed(['kv', 'put', 'after', 'that']);
    expect(up.stderr).toBe('');
  });
});
