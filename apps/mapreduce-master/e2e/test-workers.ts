import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { eventually } from '@synod/eventually';

const DIST = path.resolve(__dirname, '../../../dist/apps');

/** A service process of this suite. Its log lines are kept. */
export class TestProcess {
  readonly lines: string[] = [];
  private readonly child: ChildProcess;
  private readonly exited: Promise<void>;

  constructor(app: 'mapreduce-master' | 'mapreduce-worker', flags: readonly string[]) {
    const common = ['--listen', '127.0.0.1:0', '--http-listen', '127.0.0.1:0'];
    this.child = spawn(process.execPath, [path.join(DIST, app, 'main.js'), ...common, ...flags], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const stderr = this.child.stderr;
    if (stderr !== null) createInterface({ input: stderr }).on('line', (line) => this.lines.push(line));
    this.exited = new Promise((resolve) => this.child.on('exit', () => resolve()));
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** The first log line with this message, as soon as it is there. */
  async logged(message: string): Promise<Record<string, unknown>> {
    const line = await eventually(`the log line ${message}`, () => {
      if (this.child.exitCode !== null || this.child.signalCode !== null)
        throw new Error(`the process ended: ${this.lines.join('\n')}`);
      return this.lines.find((text) => text.includes(`"message":"${message}"`));
    });
    return JSON.parse(line) as Record<string, unknown>;
  }

  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    this.child.kill(signal);
    await this.exited;
  }

  pause(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.child.kill(signal);
  }
}

/** The executors that a daemon has started. */
function executorsOf(daemon: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      const words = textOf(`/proc/${name}/cmdline`).split('\0');
      return words.some((word) => word.endsWith('executor-main.js')) && words.includes(String(daemon));
    })
    .map(Number);
}

/** In hundredths of a second; well above what an executor takes to start, which must not pass for work. */
const BUSY_TICKS = 200;

/** An executor of a daemon that computes: one that uses so much CPU time while it is looked at. */
export async function busyExecutor(daemon: number): Promise<number> {
  const before = new Map<number, number>();
  return eventually(`an executor of process ${daemon} to be busy`, () =>
    executorsOf(daemon).find((pid) => {
      if (!before.has(pid)) before.set(pid, cpuTicks(pid));
      return cpuTicks(pid) > (before.get(pid) ?? 0) + BUSY_TICKS;
    }),
  );
}

export function isRunning(pid: number): boolean {
  // A zombie's command line is empty.
  return existsSync(`/proc/${pid}`) && textOf(`/proc/${pid}/cmdline`) !== '';
}

/** CPU time used by a process so far, in clock ticks. */
function cpuTicks(pid: number): number {
  const fields = textOf(`/proc/${pid}/stat`).split(') ')[1]?.split(' ') ?? [];
  return Number(fields[11]) + Number(fields[12]);
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return '';
  }
}
