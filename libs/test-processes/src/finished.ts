import { spawn } from 'node:child_process';

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
  /** Kills it. */
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
 * @throws {Error} if there is no such program, or no end after so long; it is killed then
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
  const kill = (): void => void child.kill('SIGKILL');
  signal?.addEventListener('abort', kill);
  let hangs = false;
  const limit = setTimeout(() => {
    hangs = true;
    kill();
  }, withinMs);

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
  return new Promise<Finished>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      if (hangs)
        reject(
          new Error(
            `${command} ${args.join(' ')} had no end in ${withinMs / 1_000} s; it said at last ${said.slice(-SAID_MAX)}`,
          ),
        );
      else resolve({ code, out: Buffer.concat(out), err, said });
    });
  }).finally(() => {
    clearTimeout(limit);
    signal?.removeEventListener('abort', kill);
  });
}
