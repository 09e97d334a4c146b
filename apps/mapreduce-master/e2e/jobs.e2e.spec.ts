import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { bundleProgram, MapReduceClient, type JobProgress, type JobRequest } from '@synod/client';
import { eventually } from '@synod/eventually';
import { GrpcChannels } from '@synod/rpc';
import { builtProgram, isAlive, LoggedProcess, seen, type Seen } from '@synod/test-processes';

let folder: string;
let master: LoggedProcess;
let address: string;
let client: MapReduceClient;
const channels = new GrpcChannels();
const workers = new Map<string, LoggedProcess>();

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'synod-jobs-'));
  writeInput();
  master = started('mapreduce-master', 'm1');
  const listening = JSON.parse(await master.logged('"message":"listening"')) as { clients: string };
  address = listening.clients;
  client = new MapReduceClient(channels, () => [address]);
  await Promise.all(['w1', 'w2', 'w3'].map(startWorker));
});

afterAll(async () => {
  await Promise.all([master, ...workers.values()].map((process) => process.end('SIGTERM')));
  channels.close();
  rmSync(folder, { recursive: true });
});

function started(app: string, name: string, flags: readonly string[] = []): LoggedProcess {
  const listen = ['--listen', '127.0.0.1:0', '--http-listen', '127.0.0.1:0'];
  const own = ['--node-id', name, '--data-dir', path.join(folder, name), ...listen];
  return new LoggedProcess(name, { program: builtProgram(app), flags: [...own, ...flags] });
}

/** Starts a worker with this name, or starts it again. */
async function startWorker(name: string): Promise<void> {
  await workers.get(name)?.end('SIGKILL');
  const worker = started('mapreduce-worker', name, ['--masters', address, '--slots', '1']);
  workers.set(name, worker);
  await worker.logged('a session with a master began');
}

/** Some hundred documents of pseudo-random words, the same in every run; a few of them awkward. */
function writeInput(): void {
  let state = 42;
  const below = (bound: number): number => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0) % bound;
  for (let at = 0; at < 120; at++) {
    const words = Array.from(
      { length: 2_000 },
      () => `w${Math.floor(3_000 / (1 + below(3_000)))}${at % 7 === 0 ? 'é' : ''}`,
    );
    const file = path.join(folder, 'in', `sub${at % 3}`, `d${at},.txt`);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, words.map((word, index) => word + (index % 11 === 0 ? '\r\n' : ' ')).join(''));
  }
  writeFileSync(path.join(folder, 'in', 'empty'), '');
  writeFileSync(path.join(folder, 'in', 'bytes'), Buffer.from([0xff, 0, 0x20, 0xfe, 0x0a, 0xff, 0]));
}

/** What a plain program makes of the same files: no splits, no partitions, no engine. */
function sequential(program: 'wordcount' | 'index'): string[] {
  const counts = new Map<string, number>();
  const holders = new Map<string, Set<string>>();
  for (const entry of readdirSync(path.join(folder, 'in'), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = path.join(entry.parentPath, entry.name);
    const name = path.relative(path.join(folder, 'in'), file).replaceAll(',', '%2C');
    for (const word of readFileSync(file, 'latin1').split(/[\t\n\v\f\r ]+/)) {
      if (word === '') continue;
      counts.set(word, (counts.get(word) ?? 0) + 1);
      holders.set(word, (holders.get(word) ?? new Set()).add(name));
    }
  }
  if (program === 'wordcount') return [...counts].map(([word, count]) => `${word}\t${count}`).sort();
  return [...holders].map(([word, names]) => `${word}\t${[...names].sort().join(',')}`).sort();
}

/** The lines of all parts; fails unless each part is in order. */
function outputOf(output: string): string[] {
  return readdirSync(output).flatMap((part) => {
    const lines = readFileSync(path.join(output, part), 'latin1').split('\n').slice(0, -1);
    expect(lines).toEqual([...lines].sort());
    return lines;
  });
}

function request(output: string, change: Partial<JobRequest> = {}): JobRequest {
  const input = path.join(folder, 'in', '**');
  return { program: 'wordcount', input, output: path.join(folder, output), reducers: 3, splitBytes: 16_384, ...change };
}

function programFile(name: string, source: string): string {
  const file = path.join(folder, name);
  writeFileSync(file, source);
  return file;
}

describe('a job on three workers', () => {
  it.each(['wordcount', 'index'] as const)('%s gives what a sequential program gives', async (program) => {
    const job = await client.run(request(program, { program }));
    expect(outputOf(path.join(folder, program)).sort()).toEqual(sequential(program));
    expect(job.mapsRerun).toBe(0);
    expect(job.counters['map-input-bytes']).toBe(job.inputBytes);
  });

  it('runs a TypeScript program with imports', async () => {
    programFile('helper.ts', 'export const first = (word: string): string => word.slice(0, 2);');
    const file = programFile(
      'prefixes.ts',
      `import { first } from './helper';
       interface Line { readonly line: string }
       type Emit = (key: string, value: number) => void;
       const sum = (key: string, values: Iterable<string>, emit: Emit): void => {
         let total = 0;
         for (const value of values) total += Number(value);
         emit(key, total);
       };
       export default {
         map: ({ line }: Line, emit: Emit): void => {
           for (const word of line.split(/ +/)) if (word !== '') emit(first(word), 1);
         },
         combine: sum,
         reduce: sum,
       };`,
    );
    await client.run(
      request('prefixes', { program: await bundleProgram(file), input: path.join(folder, 'in', 'sub*', '*') }),
    );
    const counts = new Map<string, number>();
    for (const line of sequential('wordcount')) {
      const [word = '', count] = line.split('\t');
      if (!word.startsWith('w')) continue; // The file of raw bytes is not in this input.
      counts.set(word.slice(0, 2), (counts.get(word.slice(0, 2)) ?? 0) + Number(count));
    }
    expect(outputOf(path.join(folder, 'prefixes')).sort()).toEqual(
      [...counts].map(([key, count]) => `${key}\t${count}`).sort(),
    );
  });

  it('survives kill -9 of a worker that holds finished output and runs a task', async () => {
    let killed: string | undefined;
    const onProgress = (job: JobProgress): void => {
      if (killed !== undefined || job.maps.completed < job.maps.total * 0.3) return;
      killed = job.workers.find((worker) => worker.runningMaps > 0 && worker.unfetchedMapOutputs > 0)?.nodeId;
      if (killed !== undefined) void workers.get(killed)?.end('SIGKILL');
    };
    const job = await client.run(request('killed', { splitBytes: 4_096 }), { onProgress });
    expect(killed).toBeDefined();
    expect(job.mapsRerun).toBeGreaterThan(0);
    expect(job.counters['map-input-bytes']).toBe(job.inputBytes); // Nothing counts twice.
    expect(outputOf(path.join(folder, 'killed')).sort()).toEqual(sequential('wordcount'));
    await startWorker(killed ?? '');
  });

  it('keeps the words of a zombie out of the output: a worker stopped for longer than its session', async () => {
    const zombie = workers.get('w2');
    let paused = false;
    const onProgress = (job: JobProgress): void => {
      if (paused || job.maps.completed === 0) return;
      paused = true;
      zombie?.signal('SIGSTOP');
    };
    const job = await client.run(request('zombie', { splitBytes: 4_096 }), { onProgress });
    zombie?.signal('SIGCONT');
    expect(job.maps.completed).toBe(job.maps.total);
    expect(outputOf(path.join(folder, 'zombie')).sort()).toEqual(sequential('wordcount'));
    await startWorker('w2');
  });
});

describe('a program that misbehaves', () => {
  async function failure(name: string, source: string): Promise<unknown> {
    const program = await bundleProgram(programFile(name, source));
    return client.run(request('bad', { program, splitBytes: 1e9 })).catch((error: unknown) => error);
  }

  it.each([
    [
      'throws',
      'export default { map() { throw new Error("oh no"); }, reduce() {} }',
      /map failed on the line at byte 0 of bytes: Error: oh no/,
    ],
    [
      'ends its process',
      'export default { map() { process.exit(7); }, reduce() {} }',
      /the executor exited with code 7/,
    ],
    [
      'lacks a function',
      'export default { map() {} }',
      /must export default \{map, reduce, combine\?\}; reduce is not a function/,
    ],
    ['does not load', 'throw new Error("at load"); export default {}', /the program does not load: Error: at load/],
  ])('%s fails its job with the reason', async (name, source, message) => {
    const error = await failure(`${name.replaceAll(' ', '-')}.ts`, source);
    expect(error).toMatchObject({ kind: 'failed-precondition', message: expect.stringMatching(message) as string });
    // Its staging folder is removed once it has failed.
    await eventually('nothing left of the job', () => !readdirSync(folder).some((entry) => entry.includes('bad')));
  });

  it('that does not compile is refused before it is sent, naming file and line', async () => {
    const file = programFile('broken.ts', 'export default {\n  map(\n');
    await expect(bundleProgram(file)).rejects.toMatchObject({
      kind: 'invalid-argument',
      message: expect.stringMatching(/broken\.ts:3:1: /) as string,
    });
  });

  it('in an endless loop is stopped by a cancellation, and its executor dies with a killed daemon', async () => {
    const loops = path.join(folder, 'loops');
    mkdirSync(loops);
    // Each executor says in which process it is, and of which daemon's.
    const source = `import { writeFileSync } from 'node:fs';
      export default {
        map() { writeFileSync(${JSON.stringify(loops)} + '/' + process.ppid, String(process.pid)); for (;;); },
        reduce() {},
      };`;
    const program = await bundleProgram(programFile('loop.ts', source));
    const { jobId } = await client.submit(request('loop', { program }));
    const inLoop = (worker: string): Promise<Seen> =>
      eventually(`an executor of ${worker} to be in its loop`, () => {
        const told = path.join(loops, String(workers.get(worker)?.pid));
        const pid = existsSync(told) ? Number(readFileSync(told, 'utf8')) : 0;
        return pid > 0 && seen(pid);
      });
    const [survivor, orphan] = await Promise.all([inLoop('w1'), inLoop('w3')]);
    await workers.get('w3')?.end('SIGKILL');
    await eventually('the orphan to end', () => !isAlive(orphan));
    await client.cancel(address, jobId);
    await eventually('the executor of what was cancelled to end', () => !isAlive(survivor)); // And replaced.
    await startWorker('w3');
    await client.run(request('after'));
    expect(outputOf(path.join(folder, 'after')).sort()).toEqual(sequential('wordcount'));
  });
});

describe('a request that cannot be served', () => {
  it.each([
    [
      'an output that exists',
      { output: () => path.join(folder, 'in') },
      'already-exists',
      /the output .*in exists; remove it or choose another/,
    ],
    [
      'an input folder that is missing',
      { input: () => path.join(folder, 'nowhere/*') },
      'not-found',
      /there is no folder .*nowhere\//,
    ],
    ['input from a store that is not there', { input: () => 'store:x' }, 'failed-precondition', /without --consensus/],
  ])('%s: %#', async (_, change, kind, message) => {
    const fields = Object.fromEntries(Object.entries(change).map(([name, value]) => [name, value()]));
    await expect(client.run({ ...request('refused'), ...fields })).rejects.toMatchObject({
      kind,
      message: expect.stringMatching(message) as string,
    });
  });
});
