import { spawn, type ChildProcess } from 'node:child_process';
import { descendantsOf } from './process-table';

/** What a program came to. */
export interface Finished {
  /** null if a signal ended it. */
  readonly code: number | null;
  readonly out: Buffer;
  readonly err: string;
  /** Both, in the order in which they came. */
  readonly said: string;
}

export interface RunOptions {
  /** Nothing unless it is given: then there is no pipe that could break. */
  readonly input?: Buffer | string;
  /** Beside what this process has. */
  readonly env?: Readonly<Record<string, string>>;
  /** Interrupts it when it has said this: for programs that go on for ever. */
  readonly until?: RegExp;
  /** Kills it, and all that it has started. */
  readonly signal?: AbortSignal;
  /** When it hangs, in milliseconds; for programs that do much. */
  readonly withinMs?: number;
}

/** More than anything takes, also on a busy machine, and less than the 120 s that an end-to-end test has in all. */
const WITHIN_MS = 100_000;
/** Characters that an error tells of what was said. */
const SAID_MAX = 1_000;

/**
 * Runs a program to its end, and lets the test go on meanwhile.
 * @throws {Error} if there is no such program, or no end after so long, of it or of what holds its output; it is killed then, and all that it has started
 */
export function finished(command: string, args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const { input, env = {}, until, signal, withinMs = WITHIN_MS } = options;
  const child = spawn(command, args, {
    env: { ...process.env, ...env },
    stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
  });
  // It may end before it was given everything, or anything.
  child.stdin?.on('error', () => undefined);
  child.stdin?.end(input);
  const kill = (): void => killTree(child);
  signal?.addEventListener('abort', kill);

  const out: Buffer[] = [];
  let [err, said] = ['', ''];
  let interrupted = false;
  const hear = (bytes: Buffer): void => {
    said += bytes.toString();
    if (!interrupted && until?.test(said) === true) interrupted = child.kill('SIGINT');
  };
  child.stdout?.on('data', (bytes: Buffer) => {
    out.push(bytes);
    hear(bytes);
  });
  child.stderr?.on('data', (bytes: Buffer) => {
    err += bytes.toString();
    hear(bytes);
  });
  let limit: NodeJS.Timeout | undefined;
  return new Promise<Finished>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, out: Buffer.concat(out), err, said }));
    limit = setTimeout(() => {
      kill();
      // Whoever else has the other ends, and is no child of it any more, may keep them.
      child.stdout?.destroy();
      child.stderr?.destroy();
      const last = said.slice(-SAID_MAX);
      reject(new Error(`${command} ${args.join(' ')} had no end in ${withinMs / 1_000} s; it said at last ${last}`));
    }, withinMs);
  }).finally(() => {
    clearTimeout(limit);
    signal?.removeEventListener('abort', kill);
  });
}

/** What a program has started is not its own any more once it is dead: so that goes first. */
function killTree(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  for (const { pid } of descendantsOf(child.pid)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  }
  child.kill('SIGKILL');
}
