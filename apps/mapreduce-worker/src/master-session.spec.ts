import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ManualTime } from '@synod/coordination';
import { GrpcChannels } from '@synod/rpc';
import {
  silentLog,
  systemRandom,
  type Connection,
  type ConnectionHandler,
  type Protocol,
  type Transport,
} from '@synod/runtime';
import { BundleCache } from './bundle-cache';
import type { AttemptEnd, ExecutorPool } from './executor-pool';
import type { Order } from './executor/orders';
import { MapOutputs } from './map-outputs';
import { MasterSession } from './master-session';
import type { MasterMessage, WorkerMessage } from './session-protocol';

/** Executors that end their attempts when the spec says so. */
class PoolDouble implements Pick<ExecutorPool, 'run' | 'stop' | 'progress'> {
  readonly running = new Map<string, { order: Order; end: (end: AttemptEnd) => void }>();

  run(order: Order): Promise<AttemptEnd> {
    return new Promise((end) => this.running.set(order.attempt, { order, end }));
  }

  stop(attempt: string): void {
    this.running.get(attempt)?.end({ kind: 'stopped' });
    this.running.delete(attempt);
  }

  progress(): { attempt: string; records: number }[] {
    return [...this.running.keys()].map((attempt) => ({ attempt, records: 1 }));
  }
}

/** A master behind a network: hears what the worker says, says what the spec wants. */
class MasterDouble implements Transport {
  readonly heard: WorkerMessage[] = [];
  sessions = 0;
  private handler: ConnectionHandler<MasterMessage> | undefined;

  connect<Up, Down>(_: Protocol<Up, Down>, __: string, handler: ConnectionHandler<Down>): Connection<Up> {
    this.sessions++;
    this.handler = handler as unknown as ConnectionHandler<MasterMessage>;
    return { send: (message) => this.heard.push(message as WorkerMessage) > 0, close: () => undefined };
  }

  serve(): void {
    throw new Error('a worker serves no protocol');
  }

  say(message: MasterMessage): void {
    this.handler?.receive(message);
  }

  breakOff(): void {
    this.handler?.closed('reset');
  }

  runMap(attempt: string): void {
    const program = { jobId: 'j', partitions: 1, program: 'builtIn', builtIn: 'BUILT_IN_PROGRAM_WORDCOUNT' } as const;
    this.say({
      body: 'runMap',
      runMap: { attempt, program, split: 'files', files: { folder: Buffer.from('/'), ranges: [] } },
    });
  }

  /** What was said of attempts, without heartbeats. */
  get ends(): string[] {
    return this.heard.flatMap((message) =>
      Object.entries(message).flatMap(([kind, body]) =>
        kind === 'register' || kind === 'heartbeat' ? [] : [`${kind} ${(body as { attempt: string }).attempt}`],
      ),
    );
  }
}

let folder: string;
let master: MasterDouble;
let pool: PoolDouble;
let outputs: MapOutputs;
let time: ManualTime;
let session: MasterSession;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'synod-session-'));
  master = new MasterDouble();
  pool = new PoolDouble();
  outputs = new MapOutputs();
  time = new ManualTime();
  const parts = {
    ...{ transport: master, timers: time, random: systemRandom, log: silentLog, outputs, scratch: folder },
    pool: pool as unknown as ExecutorPool,
    bundles: new BundleCache(folder, new GrpcChannels()),
  };
  session = new MasterSession(parts, { nodeId: 'w1', address: 'w1:1', slots: 1 }, 'm1:1');
  session.start();
});
afterEach(() => {
  session.stop();
  rmSync(folder, { recursive: true });
});

/** The executor of an attempt leaves its run file and says so. */
async function finish(attempt: string): Promise<void> {
  await time.settle();
  const { order, end } = pool.running.get(attempt) ?? {};
  if (order?.kind === 'map') writeFileSync(order.runFile, 'run');
  end?.({ kind: 'map-finished', counters: {}, offsets: [0, 3] });
  await time.settle();
}

async function gone(file: string): Promise<void> {
  while (existsSync(path.join(folder, file))) await time.settle();
}

describe('a session with a master', () => {
  it('registers, gives signs of life, and holds what its maps leave', async () => {
    expect(master.heard).toEqual([{ register: { nodeId: 'w1', address: 'w1:1', slots: 1 } }]);
    master.runMap('j-m00000.1');
    await time.advance(600_000);
    expect(master.heard.at(-1)).toEqual({ heartbeat: { progress: [{ attempt: 'j-m00000.1', records: 1 }] } });
    await finish('j-m00000.1');
    expect(master.ends).toEqual(['attemptFinished j-m00000.1']);
    expect(outputs.find('j-m00000.1')?.offsets).toEqual([0, 3]);
  });

  it('that breaks gives up everything, and the next one begins with nothing', async () => {
    master.runMap('j-m00000.1');
    await finish('j-m00000.1');
    master.runMap('j-m00001.1');
    await time.settle();
    master.breakOff();
    expect(pool.running.size).toBe(0);
    expect(outputs.size).toBe(0);
    await gone('j-m00000.1');
    await time.advance(300_000);
    expect(master.sessions).toBe(2);
    expect(master.ends).toEqual(['attemptFinished j-m00000.1']);
  });

  it('does not speak of an attempt that ended after its session broke', async () => {
    master.runMap('j-m00000.1');
    await time.settle();
    const late = pool.running.get('j-m00000.1');
    master.breakOff();
    late?.end({ kind: 'map-finished', counters: {}, offsets: [0, 3] });
    await time.advance(300_000);
    expect(master.ends).toEqual([]);
    expect(outputs.size).toBe(0);
  });

  it('stops an attempt and says so; of one that had ended it says no more', async () => {
    master.runMap('j-m00000.1');
    await time.settle();
    master.say({ body: 'stop', stop: { attempt: 'j-m00000.1' } });
    await time.settle();
    expect(master.ends).toEqual(['attemptStopped j-m00000.1']);
    master.runMap('j-m00001.1');
    await finish('j-m00001.1');
    master.say({ body: 'stop', stop: { attempt: 'j-m00001.1' } });
    await time.settle();
    expect(master.ends).toEqual(['attemptStopped j-m00000.1', 'attemptFinished j-m00001.1']);
    expect(outputs.size).toBe(1);
  });

  it('drops outputs when it is told to, one or all of a job', async () => {
    for (const attempt of ['j-m00000.1', 'j-m00001.1', 'k-m00000.1']) {
      master.runMap(attempt);
      await finish(attempt);
    }
    master.say({ body: 'discard', discard: { attempt: 'j-m00000.1' } });
    await gone('j-m00000.1');
    master.say({ body: 'forgetJob', forgetJob: { jobId: 'j' } });
    await gone('j-m00001.1');
    expect(outputs.size).toBe(1);
    expect(outputs.find('k-m00000.1')).toBeDefined();
  });
});
