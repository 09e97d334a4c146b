import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { formatAddress, GrpcChannels, GrpcServer, type ServiceHandlers } from '@synod/rpc';
import { silentLog, SynodError } from '@synod/runtime';
import { MapReduceClient, type JobRequest } from './mapreduce';
import { bundleProgram } from './mapreduce-bundle';

type Handlers = ServiceHandlers<'synod.mapreduce.v1.MapReduce'>;

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

/** A master that answers as told. */
async function master(handlers: Handlers): Promise<string> {
  const server = new GrpcServer({ log: silentLog, fault: () => undefined });
  server.addService('synod.mapreduce.v1.MapReduce', handlers);
  cleanups.push(() => server.stop({ drainMs: 0 }));
  return formatAddress(await server.listen('127.0.0.1:0'));
}

function client(...masters: string[]): MapReduceClient {
  const channels = new GrpcChannels();
  cleanups.push(() => channels.close());
  return new MapReduceClient(channels, () => masters);
}

const request: JobRequest = { program: 'wordcount', input: 'in/*', output: 'out' };
const running = { job: { jobId: 'j', state: 'JOB_STATE_MAPPING', maps: { total: 2, completed: 1 } } } as const;
const succeeded = {
  job: { jobId: 'j', state: 'JOB_STATE_SUCCEEDED', counters: { words: '9007199254740991' } },
} as const;

describe('running a job', () => {
  it('sends absolute paths, tells the progress, and returns the finished job', async () => {
    const specs: unknown[] = [];
    const address = await master({
      SubmitJob: ({ spec }) => {
        specs.push(spec);
        return { jobId: 'j' };
      },
      WatchJob: async function* () {
        yield running;
        yield succeeded;
      },
    });
    const states: string[] = [];
    const job = await client(address).run(request, { onProgress: ({ state }) => states.push(state) });
    expect(specs).toMatchObject([
      { files: { glob: path.resolve('in/*') }, output: path.resolve('out'), builtIn: 'BUILT_IN_PROGRAM_WORDCOUNT' },
    ]);
    expect(states).toEqual(['mapping', 'succeeded']);
    expect(job.counters).toEqual({ words: 9_007_199_254_740_991 });
  });

  it('asks the next master if one is certain not to have taken it', async () => {
    const address = await master({
      SubmitJob: () => ({ jobId: 'j' }),
      WatchJob: async function* () {
        yield succeeded;
      },
    });
    await client('127.0.0.1:1', address).run(request);
  });

  it('asks the same master again, under the same request id, if the answer was lost', async () => {
    const asked: string[] = [];
    let other = 0;
    const first = await master({
      SubmitJob: ({ requestId }) => {
        asked.push(requestId);
        if (asked.length === 1) throw new SynodError('outcome-unknown', 'the answer was lost');
        return { jobId: 'j' };
      },
    });
    const second = await master({ SubmitJob: () => ({ jobId: String(++other) }) });
    expect(await client(first, second).submit(request)).toEqual({ master: first, jobId: 'j' });
    expect(new Set(asked).size).toBe(1);
    expect(other).toBe(0);
  });

  it('watches on after the stream broke', async () => {
    let watched = 0;
    const address = await master({
      SubmitJob: () => ({ jobId: 'j' }),
      WatchJob: async function* () {
        yield running;
        if (++watched === 1) throw new SynodError('unavailable', 'reset');
        yield succeeded;
      },
    });
    expect((await client(address).run(request)).state).toBe('succeeded');
  });

  it('rejects as the job failed', async () => {
    const address = await master({
      SubmitJob: () => ({ jobId: 'j' }),
      WatchJob: async function* () {
        yield { job: { state: 'JOB_STATE_FAILED', failureKind: 'not-found', reason: 'no file matches in/*' } };
      },
    });
    await expect(client(address).run(request)).rejects.toMatchObject({
      kind: 'not-found',
      message: 'no file matches in/*',
    });
  });

  it('says that the master forgot a job', async () => {
    const address = await master({
      SubmitJob: () => ({ jobId: 'j' }),
      WatchJob: () => {
        throw new SynodError('not-found', 'no job');
      },
    });
    await expect(client(address).run(request)).rejects.toMatchObject({
      kind: 'unavailable',
      message: expect.stringMatching(/gave up job j/) as string,
    });
  });

  it('cancels the job when it is told to', async () => {
    const told = new AbortController();
    let cancelled = (): void => undefined;
    const cancellation = new Promise<void>((resolve) => (cancelled = resolve));
    const address = await master({
      SubmitJob: () => ({ jobId: 'j' }),
      WatchJob: async function* () {
        yield running;
        await cancellation;
        yield { job: { state: 'JOB_STATE_CANCELLED', reason: 'cancelled by a client' } };
      },
      CancelJob: () => {
        cancelled();
        return {};
      },
    });
    const run = client(address).run(request, { signal: told.signal, onProgress: () => told.abort() });
    await expect(run).rejects.toMatchObject({ kind: 'failed-precondition', message: 'cancelled by a client' });
  });
});

describe('bundleProgram', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'synod-bundle-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('puts a program and what it imports into one module', async () => {
    writeFileSync(path.join(folder, 'other.ts'), 'export const answer: number = 42;');
    writeFileSync(
      path.join(folder, 'job.ts'),
      "import { answer } from './other'; export default { map: () => answer };",
    );
    const { name, bundle } = await bundleProgram(path.join(folder, 'job.ts'));
    expect(name).toBe('job.ts');
    expect(Buffer.from(bundle).toString()).toContain('answer = 42');
  });

  it.each([
    ['export default {', /job\.ts:1:17: Unexpected end of file|job\.ts:1:\d+: /],
    ["import './missing'; export default {};", /job\.ts:1:8: Could not resolve "\.\/missing"/],
  ])('refuses %s naming the place', async (source, message) => {
    writeFileSync(path.join(folder, 'job.ts'), source);
    await expect(bundleProgram(path.join(folder, 'job.ts'))).rejects.toMatchObject({
      kind: 'invalid-argument',
      message: expect.stringMatching(message) as string,
    });
  });

  it('names a file that is missing', async () => {
    await expect(bundleProgram(path.join(folder, 'nope.ts'))).rejects.toMatchObject({
      kind: 'invalid-argument',
      message: expect.stringContaining('nope.ts') as string,
    });
  });
});
