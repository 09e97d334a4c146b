import { fork, type ChildProcess } from 'node:child_process';
import type { AreaName } from './areas';
import type { SeedResult } from './seed-result';

/** A seed that takes longer is stuck: no seed needs a tenth of it. */
const SEED_TIMEOUT_MS = 120_000;

/** There are as many of these processes as processors: threads that help one collect its garbage would take from another. */
const ONE_COLLECTOR = '--single-threaded-gc';

export interface PoolOptions {
  readonly processes: number;
  /** For Node. */
  readonly flags?: readonly string[];
}

/** A process that runs seeds, one at a time; it starts with the first. */
export class SeedProcess {
  private child: ChildProcess | undefined;

  /**
   * @param program the bundle of `seed-main.ts`, with or without a planted bug
   * @param flags for Node
   */
  constructor(
    private readonly program: string,
    private readonly flags: readonly string[] = [],
  ) {}

  async run(area: AreaName, seed: number): Promise<SeedResult> {
    this.child ??= fork(this.program, {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      execArgv: ['--enable-source-maps', ONE_COLLECTOR, ...this.flags],
    });
    const result = await ask(this.child, area, seed);
    // A process whose world broke down may hold anything: the next seed gets a fresh one.
    if (result.fault !== undefined) this.kill();
    return result;
  }

  /** A seed that runs ends as a crash. */
  kill(): void {
    this.child?.kill('SIGKILL');
    this.child = undefined;
  }
}

/**
 * Runs seeds in child processes, one seed at a time in each, and yields results as they come.
 * @param program the bundle of `seed-main.ts`, with or without a planted bug
 */
export async function* runSeeds(
  program: string,
  area: AreaName,
  seeds: Iterable<number>,
  { processes: count, flags }: PoolOptions,
): AsyncGenerator<SeedResult> {
  const queue = seeds[Symbol.iterator]();
  const finished: SeedResult[] = [];
  let wake: () => void = () => undefined;
  const processes = Array.from({ length: count }, () => new SeedProcess(program, flags));
  let running = count;
  let over = false;

  const work = async (process: SeedProcess): Promise<void> => {
    for (let next = queue.next(); next.done !== true && !over; next = queue.next()) {
      finished.push(await process.run(area, next.value));
      wake();
    }
    process.kill();
    running--;
    wake();
  };

  const workers = processes.map(work);
  try {
    while (running > 0 || finished.length > 0) {
      const result = finished.shift();
      if (result !== undefined) yield result;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    // A consumer may stop early: what runs then is of no interest to anyone.
    over = true;
    for (const process of processes) process.kill();
    await Promise.all(workers);
  }
}

function ask(child: ChildProcess, area: AreaName, seed: number): Promise<SeedResult> {
  return new Promise((resolve) => {
    const settle = (result: SeedResult): void => {
      clearTimeout(timer);
      for (const event of ['message', 'exit', 'error']) child.removeAllListeners(event);
      resolve(result);
    };
    const broken = (message: string): void => {
      child.kill('SIGKILL');
      settle(crashed(seed, message));
    };
    const timer = setTimeout(() => broken(`no end after ${SEED_TIMEOUT_MS / 1000} s`), SEED_TIMEOUT_MS);
    child.once('message', (result) => settle(result as SeedResult));
    child.once('exit', (code, signal) => broken(`the process of the seed ended: ${signal ?? `exit code ${code}`}`));
    child.once('error', (error) => broken(error.message));
    child.send({ area, seed });
  });
}

function crashed(seed: number, message: string): SeedResult {
  return {
    seed,
    digest: '',
    virtualSeconds: 0,
    events: 0,
    cpuSeconds: 0,
    acknowledged: 0,
    unknown: 0,
    leaderChanges: 0,
    faults: {},
    states: {},
    fault: { name: 'process-ended', by: 'crash', message },
    trace: [],
  };
}
