import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream, type WriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { get } from 'node:http';
import path from 'node:path';
import { SynodError } from '@synod/runtime';
import { addressOf, flagsOf, type ClusterPlan, type ProcessPlan } from './cluster-plan';
import { NODE_FLAGS } from './node-flags';

/** A process as the ready line and the demo name it. */
export interface RunningProcess {
  readonly service: ProcessPlan['service'];
  readonly id: string;
  readonly pid: number;
  readonly address: string;
  readonly dataDir: string;
}

/** What a supervisor tells its owner. */
export type SupervisorEvent =
  | {
      readonly kind: 'died';
      readonly id: string;
      readonly pid: number;
      readonly cause: string;
      /** What it gave as the reason, if it gave one. */
      readonly complaint: string | undefined;
    }
  | { readonly kind: 'restarted'; readonly id: string; readonly pid: number };

export interface SupervisorOptions {
  readonly plan: ClusterPlan;
  /** Holds one data folder per process, and `logs/`. */
  readonly folder: string;
  /** Holds `<service>/main.js`. */
  readonly programs: string;
  /** Start again what dies. */
  readonly restart: boolean;
  readonly environment?: Readonly<Record<string, string>>;
  readonly report: (event: SupervisorEvent) => void;
}

/** Before a process is started again: at first, and at most, since what dies at once is given twice the time. */
const RESTART_PAUSE_MS = { first: 300, most: 5_000 };
/** A process that lived so long did not die at once. */
const STEADY_MS = 10_000;
/** Between questions whether a starting process is ready. */
const READY_POLL_MS = 100;
/** A process that has not drained by then is killed: everything stops within 5 s. */
const DRAIN_MS = 4_000;
/** How much of a dead process's last output is quoted. */
const LAST_WORDS_BYTES = 2_000;

interface Supervised {
  readonly process: ProcessPlan;
  child: ChildProcess | undefined;
  /** Down because its owner said so: not to be started again. */
  held: boolean;
  /** The end of what it wrote. */
  lastWords: string;
  /** It reported itself ready since its owner started it. */
  wasReady: boolean;
  /** Why it ended by itself before it was ever ready: another start would end the same way. */
  refusal: string | undefined;
  restartPauseMs: number;
  startedAtMs: number;
  log: WriteStream | undefined;
}

/** Starts, watches and stops the processes of a cluster on this machine. Each writes its output to `logs/<id>.log`. */
export class Supervisor {
  private readonly supervised: ReadonlyMap<string, Supervised>;
  private stopping = false;
  /** Calls of `ready` in progress. */
  private waiters = 0;

  constructor(private readonly options: SupervisorOptions) {
    this.supervised = new Map(
      options.plan.processes.map((process) => [
        process.id,
        {
          process,
          child: undefined,
          held: false,
          lastWords: '',
          wasReady: false,
          refusal: undefined,
          restartPauseMs: RESTART_PAUSE_MS.first,
          startedAtMs: 0,
          log: undefined,
        },
      ]),
    );
  }

  /** Starts the named processes, or all; returns when they are spawned, not when they are ready. */
  async start(ids: readonly string[] = [...this.supervised.keys()]): Promise<void> {
    await mkdir(path.join(this.options.folder, 'logs'), { recursive: true });
    for (const id of ids) {
      if (this.stopping) return;
      const supervised = this.find(id);
      supervised.held = false;
      if (supervised.child !== undefined) continue;
      supervised.wasReady = false;
      supervised.refusal = undefined;
      this.spawn(supervised);
    }
  }

  /**
   * Resolves when the named processes (or all) report themselves ready.
   * @throws {SynodError} `failed-precondition` at once if one refuses to start, saying why; `unavailable`, naming who is not ready, after
   *   `timeoutMs`, or at once if a process died and is not restarted
   */
  async ready(timeoutMs: number, ids: readonly string[] = [...this.supervised.keys()]): Promise<void> {
    this.waiters++;
    try {
      await this.allReady(
        Date.now() + timeoutMs,
        ids.map((id) => this.find(id)),
      );
    } finally {
      this.waiters--;
    }
  }

  private async allReady(deadline: number, wanted: readonly Supervised[]): Promise<void> {
    let waiting = wanted;
    for (;;) {
      await Promise.all(waiting.map(async (one) => (one.wasReady = await isReady(one.process))));
      waiting = waiting.filter(({ wasReady }) => !wasReady);
      if (waiting.length === 0) return;
      const refusing = waiting.find(({ refusal }) => refusal !== undefined);
      if (refusing !== undefined) {
        throw new SynodError('failed-precondition', `${refusing.process.id} does not start: ${refusing.refusal}`);
      }
      const dead = waiting.some(({ child }) => child === undefined && !this.options.restart);
      if (dead || Date.now() > deadline || this.stopping) throw this.notReady(waiting);
      await pause(READY_POLL_MS);
    }
  }

  private notReady(waiting: readonly Supervised[]): SynodError {
    const names = waiting.map(({ process }) => process.id).join(', ');
    return new SynodError('unavailable', `not ready: ${names}; see ${this.logOf(waiting[0])}`);
  }

  running(): RunningProcess[] {
    return [...this.supervised.values()].flatMap(({ process, child }) =>
      child?.pid === undefined
        ? []
        : [
            {
              service: process.service,
              id: process.id,
              pid: child.pid,
              address: addressOf(process),
              dataDir: this.folderOf(process),
            },
          ],
    );
  }

  /** Kills a process with SIGKILL and leaves it down until `start` is called for it. Resolves when it is gone. */
  async kill(id: string): Promise<void> {
    const supervised = this.find(id);
    supervised.held = true;
    await this.end(supervised, 'SIGKILL');
  }

  /** Stops the named processes and starts them again, from bundles that may be new. */
  async restart(ids: readonly string[]): Promise<void> {
    await Promise.all(
      ids.map((id) => {
        const supervised = this.find(id);
        supervised.held = true;
        return this.end(supervised, 'SIGTERM');
      }),
    );
    await this.start(ids);
  }

  /** Stops everything within 5 s: SIGTERM, then SIGKILL for what is still there. */
  async stop(): Promise<void> {
    this.stopping = true;
    await Promise.all([...this.supervised.values()].map((supervised) => this.end(supervised, 'SIGTERM')));
  }

  /** Kills everything at once; for the last moment of a process that cannot wait. */
  killAll(): void {
    this.stopping = true;
    for (const { child } of this.supervised.values()) child?.kill('SIGKILL');
  }

  private async end(supervised: Supervised, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const { child } = supervised;
    if (child === undefined) return;
    await new Promise<void>((resolve) => {
      const force = setTimeout(() => child.kill('SIGKILL'), DRAIN_MS);
      child.once('close', () => {
        clearTimeout(force);
        resolve();
      });
      child.kill(signal);
    });
  }

  private spawn(supervised: Supervised): void {
    const { process: plan } = supervised;
    const { options } = this;
    const program = path.join(options.programs, plan.service, 'main.js');
    const child = spawn(
      process.execPath,
      [...NODE_FLAGS, program, ...flagsOf(options.plan, plan, this.folderOf(plan))],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
        // In a session of its own: Ctrl-C and a terminal's end are for the supervisor, who stops it in good order.
        detached: true,
        env: { ...process.env, ...options.environment, SYNOD_PARENT_PID: String(process.pid) },
      },
    );
    supervised.child = child;
    supervised.lastWords = '';
    supervised.startedAtMs = Date.now();
    supervised.log ??= createWriteStream(this.logOf(supervised), { flags: 'a' });
    const log = supervised.log;
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        log.write(chunk);
        supervised.lastWords = (supervised.lastWords + chunk.toString()).slice(-LAST_WORDS_BYTES);
      });
    }
    child.once('error', (error) => (supervised.lastWords = error.message));
    child.once('close', (code, signal) => this.died(supervised, child, code, signal));
  }

  private died(supervised: Supervised, child: ChildProcess, code: number | null, signal: NodeJS.Signals | null): void {
    supervised.child = undefined;
    if (this.stopping || supervised.held) return;
    const { id } = supervised.process;
    const cause = signal ?? `exit code ${code}`;
    const complaint = complaintIn(supervised.lastWords);
    if (signal === null && code !== 0 && !supervised.wasReady) {
      supervised.refusal = complaint ?? `${cause}; see ${this.logOf(supervised)}`;
      // Whoever waits for it is told instead.
      if (this.waiters > 0) return;
    }
    this.options.report({ kind: 'died', id, pid: child.pid ?? 0, cause, complaint });
    if (!this.options.restart) return;
    const { first, most } = RESTART_PAUSE_MS;
    if (Date.now() - supervised.startedAtMs > STEADY_MS) supervised.restartPauseMs = first;
    setTimeout(() => {
      if (this.stopping || supervised.held || supervised.child !== undefined) return;
      this.spawn(supervised);
      this.options.report({ kind: 'restarted', id, pid: this.find(id).child?.pid ?? 0 });
    }, supervised.restartPauseMs);
    supervised.restartPauseMs = Math.min(2 * supervised.restartPauseMs, most);
  }

  private find(id: string): Supervised {
    const supervised = this.supervised.get(id);
    if (supervised === undefined) throw new SynodError('not-found', `the cluster has no process ${id}`);
    return supervised;
  }

  private folderOf(process: ProcessPlan): string {
    return path.join(this.options.folder, process.id);
  }

  private logOf(supervised: Supervised | undefined): string {
    return path.join(this.options.folder, 'logs', `${supervised?.process.id ?? ''}.log`);
  }
}

/** The last error line of a service's output, which is mostly its log. */
function complaintIn(output: string): string | undefined {
  const line = output.split('\n').findLast((each) => each.startsWith('error: '));
  return line?.slice('error: '.length);
}

/** Asks a process over HTTP whether it can do its work now. */
function isReady(plan: ProcessPlan): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get(
      { host: '127.0.0.1', port: plan.ports.http, path: '/readyz', timeout: 2_000, agent: false },
      (response) => {
        response.resume();
        resolve(response.statusCode === 200);
      },
    );
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(false));
  });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
