import { fork, type ChildProcess } from 'node:child_process';
import type { ExecutorReport, Order } from './executor/orders';

export interface ExecutorOptions {
  /** The built `executor-main.js`. */
  readonly entry: string;
  /** Members of the coordination service, for attempts that read the store. */
  readonly consensus: readonly string[];
  /** As whom they read it, where users are checked. */
  readonly credentialsFile?: string | undefined;
  readonly heapMb: number;
}

/** What is kept of what user code and Node write to stdout and stderr, for the reason of a failure. */
const TAIL_CHARACTERS = 2_000;

/** One executor child process. It leads a process group of its own, so that whatever user code starts can be killed with it. */
export class ExecutorProcess {
  private readonly child: ChildProcess;
  private tail = '';
  private dead = false;
  /** The bundle it has loaded: code of another job must not find its leftovers. */
  bundle: string | undefined;

  /**
   * @param report every report of the child
   * @param exited called once, with a line that says how the process ended
   */
  constructor(options: ExecutorOptions, report: (report: ExecutorReport) => void, exited: (how: string) => void) {
    this.child = fork(
      options.entry,
      [String(process.pid), options.consensus.join(','), options.credentialsFile ?? ''],
      {
        // Buffers must survive the channel; only control messages take it.
        serialization: 'advanced',
        detached: true,
        stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
        // User code sees none of the daemon's environment.
        env: { PATH: process.env['PATH'] },
        execArgv: [`--max-old-space-size=${options.heapMb}`, '--enable-source-maps'],
      },
    );
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream
        ?.setEncoding('utf8')
        .on('data', (text: string) => (this.tail = (this.tail + text).slice(-TAIL_CHARACTERS)));
    }
    this.child.on('message', (message) => report(message as ExecutorReport));
    this.child.on('error', (error) => this.end(`the executor could not be run: ${error.message}`, exited));
    // Not `exit`: by `close` all that it wrote has been read.
    this.child.on('close', (code, signal) => this.end(this.ending(code, signal), exited));
  }

  send(order: Order): void {
    // A child that is gone says so by `close`.
    if (this.child.connected) this.child.send(order, () => undefined);
  }

  /** Kills the process and everything it started, at once. */
  kill(): void {
    const { pid } = this.child;
    if (pid === undefined || this.dead) return;
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // It ended just now, or has not become the leader of its group yet.
      this.child.kill('SIGKILL');
    }
  }

  private end(how: string, exited: (how: string) => void): void {
    if (this.dead) return;
    this.dead = true;
    exited(how);
  }

  private ending(code: number | null, signal: string | null): string {
    const how = signal === null ? `exited with code ${code}` : `was ended by ${signal}`;
    const lines = this.tail.split('\n').map((line) => line.trim());
    const cause =
      lines.find((line) => /^\w*Error\b|heap out of memory/.test(line)) ?? lines.filter((line) => line !== '').at(-1);
    return cause === undefined ? `the executor ${how}` : `the executor ${how}: ${cause}`;
  }
}
