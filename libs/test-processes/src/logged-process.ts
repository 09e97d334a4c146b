import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { eventually } from '@synod/eventually';

export interface Start {
  /** A JavaScript file. */
  readonly program: string;
  readonly flags: readonly string[];
  /** Beside what this process has. */
  readonly env?: Readonly<Record<string, string>>;
  readonly folder?: string;
}

/** A service in a process of its own. The lines of its log are kept. */
export class LoggedProcess {
  private readonly child: ChildProcess;
  private readonly lines: string[] = [];
  private readonly closed: Promise<number | null>;

  /** @param name what errors call it */
  constructor(
    private readonly name: string,
    { program, flags, env = {}, folder }: Start,
  ) {
    this.child = spawn(process.execPath, [program, ...flags], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, ...env },
      ...(folder === undefined ? {} : { cwd: folder }),
    });
    if (this.child.stderr === null) throw new TypeError('its log is a pipe');
    createInterface({ input: this.child.stderr }).on('line', (line) => this.lines.push(line));
    this.closed = new Promise((resolve) => this.child.on('close', resolve));
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  get runs(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  get log(): string {
    return this.lines.join('\n');
  }

  /** Resolves with the first line of the log that holds a text; rejects if the process ends without. */
  async logged(text: string): Promise<string> {
    let over = false;
    void this.closed.then(() => (over = true));
    return eventually(`${this.name} to say ${text}`, () => {
      const line = this.lines.find((each) => each.includes(text));
      if (line === undefined && over) throw new Error(`${this.name} ended without saying ${text}:\n${this.log}`);
      return line;
    });
  }

  /** @returns the exit code once the process has ended, or had before, and its log is whole; null if a signal ended it */
  async ended(): Promise<number | null> {
    return this.closed;
  }

  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> {
    this.child.kill(signal);
    return this.closed;
  }

  /** Stops its time, or lets it go on. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.child.kill(signal);
  }
}
