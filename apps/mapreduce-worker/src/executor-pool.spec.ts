import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { silentLog, systemClock, systemTimers } from '@synod/runtime';
import { ExecutorPool, type ExecutorPoolOptions } from './executor-pool';
import type { Order } from './executor/orders';

/** An executor that does what the attempt's name says, and notes its pid and the attempt. */
const EXECUTOR = `
const { appendFileSync } = require('node:fs');
process.on('message', (order) => {
  const what = order.attempt.split('-')[0];
  appendFileSync(__dirname + '/started', process.pid + ' ' + order.attempt + '\\n');
  const finished = { kind: 'map-finished', counters: {}, offsets: [0] };
  if (what === 'finish') process.send(finished);
  if (what === 'fail') process.send({ kind: 'failed', reason: 'no', fatal: false });
  if (what === 'exit') { console.error('TypeError: boom'); process.exit(3); }
  if (what === 'hang') for (;;) {}
  if (what === 'progress') { process.send({ kind: 'progress', records: 7 }); }
});
process.send({ kind: 'ready' });
`;

let folder: string;
let pool: ExecutorPool;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'synod-pool-'));
  writeFileSync(path.join(folder, 'executor.js'), EXECUTOR);
});
afterEach(() => {
  pool.close();
  rmSync(folder, { recursive: true });
});

function open(change: Partial<ExecutorPoolOptions> = {}): void {
  const entry = path.join(folder, 'executor.js');
  const options = { entry, consensus: [], heapMb: 64, slots: 1, noProgressMs: 60_000, attemptsPerExecutor: 100 };
  pool = new ExecutorPool({ clock: systemClock, timers: systemTimers, log: silentLog }, { ...options, ...change });
}

function order(attempt: string, bundle?: string): Order {
  return {
    kind: 'map',
    attempt,
    program: bundle === undefined ? { kind: 'built-in', name: 'wordcount' } : { kind: 'user', path: bundle },
    partitions: 1,
    split: { kind: 'files', folder: Buffer.from('/'), ranges: [] },
    runFile: '/nowhere',
  };
}

/** Which process ran which attempt. */
function started(): [pid: string, attempt: string][] {
  const text = readFileSync(path.join(folder, 'started'), 'utf8').trim();
  return text.split('\n').map((line) => line.split(' ') as [string, string]);
}

async function eventually(fact: () => boolean): Promise<void> {
  while (!fact()) await new Promise((resolve) => setTimeout(resolve, 10));
}

describe('the executors of a worker', () => {
  it('run attempts one after the other in one process', async () => {
    open();
    const ends = await Promise.all(['finish-1', 'finish-2', 'finish-3'].map((attempt) => pool.run(order(attempt))));
    expect(ends.map(({ kind }) => kind)).toEqual(['map-finished', 'map-finished', 'map-finished']);
    expect(new Set(started().map(([pid]) => pid)).size).toBe(1);
    expect(started().map(([, attempt]) => attempt)).toEqual(['finish-1', 'finish-2', 'finish-3']);
  });

  it('are replaced when an attempt fails, and when they die, with the last error as the reason', async () => {
    open();
    expect(await pool.run(order('fail-1'))).toEqual({ kind: 'failed', reason: 'no', fatal: false });
    expect(await pool.run(order('exit-1'))).toEqual({
      kind: 'failed',
      reason: 'the executor exited with code 3: TypeError: boom',
      fatal: false,
    });
    expect(await pool.run(order('finish-1'))).toMatchObject({ kind: 'map-finished' });
    expect(new Set(started().map(([pid]) => pid)).size).toBe(3);
  });

  it('are replaced between two programs of users, so that no code meets the leftovers of another', async () => {
    open();
    for (const bundle of ['/a.cjs', '/a.cjs', '/b.cjs']) await pool.run(order(`finish-${bundle}`, bundle));
    const [first, second, third] = started().map(([pid]) => pid);
    expect(second).toBe(first);
    expect(third).not.toBe(first);
  });

  it('are replaced after their number of attempts', async () => {
    open({ attemptsPerExecutor: 2 });
    for (const attempt of ['finish-1', 'finish-2', 'finish-3']) await pool.run(order(attempt));
    expect(new Set(started().map(([pid]) => pid)).size).toBe(2);
  });

  it('stop an attempt at once, in an endless loop or still waiting', async () => {
    open();
    const running = pool.run(order('hang-1'));
    const waiting = pool.run(order('finish-2'));
    await eventually(() => pool.busy === 1);
    pool.stop('finish-2');
    expect(await waiting).toEqual({ kind: 'stopped' });
    pool.stop('hang-1');
    expect(await running).toEqual({ kind: 'stopped' });
    expect(await pool.run(order('finish-3'))).toMatchObject({ kind: 'map-finished' });
  });

  it('kill an attempt that shows no progress', async () => {
    open({ noProgressMs: 300 });
    expect(await pool.run(order('hang-1'))).toMatchObject({
      kind: 'failed',
      reason: expect.stringContaining('no progress for 0.3 s') as string,
    });
  });

  it('tell how far running attempts are', async () => {
    open();
    void pool.run(order('progress-1'));
    await eventually(() => pool.progress()[0]?.records === 7);
    expect(pool.progress()).toEqual([{ attempt: 'progress-1', records: 7 }]);
  });
});
