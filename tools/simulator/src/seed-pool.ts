import { fork, type ChildProcess } from 'node:child_process';
import type { AreaName } from './areas';
import type { SeedResult } from './seed-result';

/** A seed that takes longer is stuck: no seed needs a tenth of it. */
const SEED_TIMEOUT_MS = 120_000;

/**
 * Runs seeds in child processes, one seed at a time in each, and yields results as they come.
 * @param program the bundle of `seed-main.ts`, with or without a planted bug
 */
export async function* runSeeds(
  program: string,
  area: AreaName,
  seeds: Iterable<number>,
  processCount: number,
): AsyncGenerator<SeedResult> {
  const queue = seeds[Symbol.iterator]();
  const finished: SeedResult[] = [];
  let wake: () => void = () => undefined;
  const children = new Set<ChildProcess>();
  let running = 0;
  let over = false;

  const start = (): ChildProcess => {
    const child = fork(program, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], execArgv: ['--enable-source-maps'] });
    children.add(child);
    child.once('close', () => children.delete(child));
    return child;
  };
  const work = async (): Promise<void> => {
    let child: ChildProcess | undefined;
    for (let next = queue.next(); next.done !== true && !over; next = queue.next()) {
      child ??= start();
      const result = await ask(child, area, next.value);
      // A process whose world broke down may hold anything: the next seed gets a fresh one.
      if (result.fault !== undefined) {
        child.kill('SIGKILL');
        child = undefined;
      }
      finished.push(result);
      wake();
    }
    child?.disconnect();
    running--;
    wake();
  };

  const workers = Array.from({ length: processCount }, () => {
    running++;
    return work();
  });
  try {
    while (running > 0 || finished.length > 0) {
      const result = finished.shift();
      if (result !== undefined) yield result;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    // A consumer may stop early: what runs then is of no interest to anyone.
    over = true;
    for (const child of children) child.kill('SIGKILL');
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
