import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ManualTime } from '@synod/coordination';
import { silentLog, systemRandom, type ConnectionHandler } from '@synod/runtime';
import type { SnapshotStore } from './input-plan';
import type { Job } from './job';
import type { JobSpec } from './job-spec';
import { jobView } from './job-view';
import { MasterNode } from './master-node';
import { OutputFolder } from './output-folder';
import type { MasterMessage, WorkerMessage } from './session-protocol';

let folder: string;
let time: ManualTime;
let node: MasterNode;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'synod-master-'));
  mkdirSync(path.join(folder, 'in'));
  mkdirSync(path.join(folder, 'notes'));
  for (const name of ['a', 'b', 'c']) writeFileSync(path.join(folder, 'in', name), `${name} words\n`);
  time = new ManualTime();
  node = newNode();
});
afterEach(async () => {
  await node.stop();
  rmSync(folder, { recursive: true });
});

const noStore: SnapshotStore = {
  openSnapshot: () => Promise.resolve(7n),
  rows: () => ({ [Symbol.asyncIterator]: () => ({ next: () => Promise.resolve({ done: true, value: undefined }) }) }),
};

function newNode(store = noStore): MasterNode {
  return new MasterNode({
    clock: time,
    timers: time,
    random: systemRandom,
    log: silentLog,
    store,
    notes: path.join(folder, 'notes'),
    times: { heartbeatMs: 500, sessionTimeoutMs: 5_000 },
    fault: (error) => {
      throw error;
    },
  });
}

function spec(change: Partial<JobSpec> = {}): JobSpec {
  return {
    program: { kind: 'built-in', name: 'wordcount' },
    input: { kind: 'files', glob: path.join(folder, 'in', '*') },
    output: path.join(folder, 'out'),
    partitions: 2,
    splitBytes: 1,
    ...change,
  };
}

/** Lets time stand still and everything else go on until a fact holds. */
async function eventually(fact: () => boolean): Promise<void> {
  for (let turns = 0; !fact(); turns++) {
    if (turns > 20_000) throw new Error(`never: ${fact.toString()}`);
    await time.settle();
  }
}

/** A worker that says what it is told to; its attempts end when the spec says so. */
class ScriptedWorker {
  readonly heard: MasterMessage[] = [];
  closed = false;
  private readonly handler: ConnectionHandler<WorkerMessage>;

  constructor(
    readonly nodeId: string,
    slots = 1,
  ) {
    this.handler = node.accept({
      send: (message) => {
        this.heard.push(message);
        return !this.closed;
      },
      close: () => (this.closed = true),
    });
    this.say({ body: 'register', register: { nodeId, address: `${nodeId}:1`, slots } });
  }

  say(message: WorkerMessage): void {
    this.handler.receive(message);
  }

  die(): void {
    this.closed = true;
    this.handler.closed('reset');
  }

  get maps(): string[] {
    return this.heard.flatMap(({ runMap }) => runMap?.attempt ?? []);
  }

  get reduces(): string[] {
    return this.heard.flatMap(({ runReduce }) => runReduce?.attempt ?? []);
  }

  finishMap(attempt: string): void {
    this.say({
      body: 'attemptFinished',
      attemptFinished: { attempt, counters: { 'map-output-pairs': '2' }, outputBytes: ['10', '0'] },
    });
  }

  /** Writes the part that the master asked for, then says so. */
  finishReduce(attempt: string, text = `${attempt}\n`): void {
    const outputFile = this.heard.find(({ runReduce }) => runReduce?.attempt === attempt)?.runReduce?.outputFile ?? '';
    mkdirSync(path.dirname(outputFile));
    writeFileSync(outputFile, text);
    this.say({
      body: 'attemptFinished',
      attemptFinished: { attempt, counters: {}, outputBytes: [String(text.length)] },
    });
  }
}

/** Finishes whatever a worker is told to run, until the job ends. */
async function serve(worker: ScriptedWorker, job: Job): Promise<void> {
  const done = new Set<string>();
  await eventually(() => {
    for (const attempt of [...worker.maps, ...worker.reduces]) {
      if (done.has(attempt)) continue;
      done.add(attempt);
      if (worker.maps.includes(attempt)) worker.finishMap(attempt);
      else worker.finishReduce(attempt);
    }
    return job.outcome !== undefined;
  });
}

const view = (job: Job) => jobView(job, time.monotonicUs(), (worker) => worker.split('#')[0] as string);

describe('a job', () => {
  it('runs its maps, then its reduces, and its output appears at once and with nothing else beside it', async () => {
    const job = await node.submit('r1', spec());
    const worker = new ScriptedWorker('w1');
    expect(existsSync(path.join(folder, 'out'))).toBe(false);
    await serve(worker, job);
    expect(job.outcome).toEqual({ kind: 'succeeded' });
    expect(readdirSync(folder).sort()).toEqual(['in', 'notes', 'out']);
    expect(readdirSync(path.join(folder, 'out'))).toEqual(['part-00000', 'part-00001']);
    expect(readFileSync(path.join(folder, 'out', 'part-00001'), 'utf8')).toBe(`${job.id}-r00001.1\n`);
    expect(readdirSync(path.join(folder, 'notes'))).toEqual([]);
    expect(worker.heard.at(-1)).toEqual({ forgetJob: { jobId: job.id } });
    expect(view(job)).toMatchObject({ state: 'JOB_STATE_SUCCEEDED', documents: 3, inputBytes: 24 });
    expect(view(job).counters).toEqual({ 'map-output-pairs': 48 });
  });

  it('tells reducers where the map outputs are, by worker, leaving out empty partitions', async () => {
    const job = await node.submit('r1', spec({ splitBytes: 8 }));
    const [one, two] = [new ScriptedWorker('w1', 2), new ScriptedWorker('w2', 2)];
    await eventually(() => one.maps.length + two.maps.length === 3);
    for (const worker of [one, two]) for (const attempt of worker.maps) worker.finishMap(attempt);
    await eventually(() => one.reduces.length + two.reduces.length === 2);
    const tasks = [...one.heard, ...two.heard].flatMap(({ runReduce }) => runReduce ?? []);
    const first = tasks.find(({ partition }) => partition === 0);
    expect(first?.sources).toEqual([
      { address: 'w1:1', attempts: one.maps },
      { address: 'w2:1', attempts: two.maps },
    ]);
    expect(tasks.find(({ partition }) => partition === 1)?.sources).toEqual([]);
    expect(view(job).workers).toEqual([
      { nodeId: 'w1', runningMaps: 0, runningReduces: 1, unfetchedMapOutputs: one.maps.length },
      { nodeId: 'w2', runningMaps: 0, runningReduces: 1, unfetchedMapOutputs: two.maps.length },
    ]);
  });

  it('runs again what a dead worker had finished', async () => {
    const job = await node.submit('r1', spec({ splitBytes: 8 }));
    const dying = new ScriptedWorker('w1', 2);
    await eventually(() => dying.maps.length === 2);
    dying.finishMap(dying.maps[0] as string);
    expect(view(job).workers).toMatchObject([{ nodeId: 'w1', runningMaps: 1, unfetchedMapOutputs: 1 }]);
    dying.die();
    await serve(new ScriptedWorker('w2'), job);
    expect(job.outcome).toEqual({ kind: 'succeeded' });
    expect(view(job).mapsRerun).toBe(1);
  });

  it('gives up a worker that falls silent, and ignores what it says later', async () => {
    const job = await node.submit('r1', spec({ splitBytes: 99, partitions: 1 }));
    const zombie = new ScriptedWorker('w1');
    await eventually(() => zombie.maps.length === 1);
    await time.advance(4_000_000);
    zombie.say({ body: 'heartbeat', heartbeat: { progress: [] } });
    await time.advance(4_000_000);
    expect(zombie.closed).toBe(false);
    await time.advance(2_000_000);
    expect(zombie.closed).toBe(true);
    const other = new ScriptedWorker('w2');
    zombie.finishMap(zombie.maps[0] as string);
    await serve(other, job);
    expect(other.maps).toEqual([`${job.id}-m00000.2`]);
  });

  it('does not show what a superseded reduce attempt writes, before or after the end', async () => {
    const job = await node.submit('r1', spec({ splitBytes: 99, partitions: 1 }));
    const zombie = new ScriptedWorker('w1');
    await eventually(() => zombie.maps.length === 1);
    zombie.finishMap(zombie.maps[0] as string);
    await eventually(() => zombie.reduces.length === 1);
    zombie.die();
    const other = new ScriptedWorker('w2');
    await eventually(() => other.maps.length === 1);
    other.finishMap(other.maps[0] as string);
    zombie.finishReduce(zombie.reduces[0] as string, 'wrong\n');
    await eventually(() => other.reduces.length === 1);
    other.finishReduce(other.reduces[0] as string, 'right\n');
    await eventually(() => job.outcome !== undefined);
    expect(readFileSync(path.join(folder, 'out', 'part-00000'), 'utf8')).toBe('right\n');
    await eventually(() => readdirSync(folder).length === 3);
  });

  it('fails with the reason of its task, and leaves no output', async () => {
    const job = await node.submit('r1', spec({ splitBytes: 99 }));
    const worker = new ScriptedWorker('w1');
    await eventually(() => worker.maps.length === 1);
    const [attempt = ''] = worker.maps;
    worker.say({ body: 'attemptFailed', attemptFailed: { attempt, reason: 'no map function', fatal: true } });
    await eventually(() => readdirSync(folder).length === 2);
    expect(job.outcome).toEqual({ kind: 'failed', reason: 'map task 0 failed once: no map function' });
  });

  it('is cancelled at any time, and its slots are free once the worker has stopped', async () => {
    const job = await node.submit('r1', spec({ splitBytes: 99 }));
    const worker = new ScriptedWorker('w1');
    await eventually(() => worker.maps.length === 1);
    node.cancel(job);
    expect(view(job).state).toBe('JOB_STATE_CANCELLED');
    const [attempt = ''] = worker.maps;
    expect(worker.heard.map((message) => Object.keys(message)[0])).toEqual(['welcome', 'runMap', 'stop', 'forgetJob']);
    const next = await node.submit('r2', spec({ splitBytes: 99 }));
    await eventually(() => next.plan !== undefined);
    expect(worker.maps).toHaveLength(1);
    worker.say({ body: 'attemptStopped', attemptStopped: { attempt } });
    await serve(worker, next);
    expect(next.outcome).toEqual({ kind: 'succeeded' });
  });

  it('waits for workers that come later', async () => {
    const job = await node.submit('r1', spec());
    await eventually(() => job.plan !== undefined);
    await time.advance(60_000_000);
    await serve(new ScriptedWorker('w1', 3), job);
    expect(job.outcome).toEqual({ kind: 'succeeded' });
  });
});

describe('a submission', () => {
  it('is the same job when it is repeated', async () => {
    const [first, second] = await Promise.all([node.submit('r1', spec()), node.submit('r1', spec())]);
    expect(second).toBe(first);
  });

  it('is refused if the output exists or another job is writing it', async () => {
    mkdirSync(path.join(folder, 'there'));
    await expect(node.submit('r1', spec({ output: path.join(folder, 'there') }))).rejects.toMatchObject({
      kind: 'already-exists',
    });
    await node.submit('r2', spec());
    await expect(node.submit('r3', spec())).rejects.toThrow(/is writing .*out; choose another output/);
  });

  it.each([
    ['missing/*', 'not-found', /^there is no folder .*missing\/$/],
    ['in/*.md', 'not-found', /^no file matches .*in\/\*\.md$/],
    ['nothing', 'not-found', /^no file matches .*nothing$/],
    ['in/[z-a]', 'invalid-argument', /is not a glob/],
  ])('of the input %s fails as %s', async (glob, kind, message) => {
    const job = await node.submit('r1', spec({ input: { kind: 'files', glob: path.join(folder, glob) } }));
    await eventually(() => job.outcome !== undefined);
    expect(view(job)).toMatchObject({
      state: 'JOB_STATE_FAILED',
      failureKind: kind,
      reason: expect.stringMatching(message) as string,
    });
  });

  it('pins a snapshot and cuts the store into ranges of whole values', async () => {
    const rows = ['p/a', 'p/b', 'p/c', 'p/d'].map((key) => ({
      key: Buffer.from(key),
      value: Buffer.alloc(key === 'p/d' ? 9 : 2),
    }));
    const store: SnapshotStore = {
      openSnapshot: () => Promise.resolve(42n),
      rows: async function* () {
        yield* rows;
      },
    };
    await node.stop();
    node = newNode(store);
    const job = await node.submit('r1', spec({ input: { kind: 'store', prefix: Buffer.from('p/') }, splitBytes: 4 }));
    await eventually(() => job.plan !== undefined);
    const text = (bytes: Buffer): string => bytes.toString();
    expect(
      job.plan?.splits.map(
        (split) => split.kind === 'store' && [split.readTs, text(split.start), text(split.end), split.keys.map(text)],
      ),
    ).toEqual([
      [42n, 'p/a', 'p/c', ['p/a', 'p/b']],
      [42n, 'p/c', 'p/d', ['p/c']],
      [42n, 'p/d', 'p0', ['p/d']],
    ]);
  });
});

describe('a master that starts again', () => {
  it('removes what an earlier life left beside outputs', async () => {
    const notes = path.join(folder, 'notes');
    await OutputFolder.claim(path.join(folder, 'out'), 'wc-1', notes);
    expect(readdirSync(folder)).toContain('.out.synod-wc-1');
    await OutputFolder.sweep(notes);
    expect(readdirSync(folder).sort()).toEqual(['in', 'notes']);
    expect(readdirSync(notes)).toEqual([]);
  });
});
