import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream, type WriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { get } from 'node:http';
import path from 'node:path';
import { SynodError } from '@synod/runtime';
import { addressOf, flagsOf, type ClusterPlan, type ProcessPlan } from './cluster-plan';

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
      readonly lastWords: string;
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

const RESTART_PAUSE_MS = 300;
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
  lastWords: string;
  log: WriteStream | undefined;
}

/** Starts, watches and stops the processes of a cluster on this machine. Each writes its output to `logs/<id>.log`. */
export class Supervisor {
  private readonly supervised: ReadonlyMap<string, Supervised>;
  private stopping = false;

  constructor(private readonly options: SupervisorOptions) {
    this.supervised = new Map(
      options.plan.processes.map((process) => [
        process.id,
        { process, child: undefined, held: false, lastWords: '', log: undefined },
      ]),
    );
  }

  /** Starts the named processes, or all; returns when they are spawned, not when they are ready. */
  async start(ids: readonly string[] = [...this.supervised.keys()]): Promise<void> {
    await mkdir(path.join(this.options.folder, 'logs'), { recursive: true });
    for (const id of ids) {
      const supervised = this.find(id);
      supervised.held = false;
      if (supervised.child === undefined) this.spawn(supervised);
    }
  }

  /**
   * Resolves when the named processes (or all) report themselves ready.
   * @throws {SynodError} `unavailable`, naming who is not ready, after `timeoutMs`; or at once if a process died and is not restarted
   */
  async ready(timeoutMs: number, ids: readonly string[] = [...this.supervised.keys()]): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    let waiting = ids.map((id) => this.find(id));
    for (;;) {
      const states = await Promise.all(waiting.map(async (one) => ({ one, ready: await isReady(one.process) })));
      waiting = states.filter(({ ready }) => !ready).map(({ one }) => one);
      if (waiting.length === 0) return;
      const dead = waiting.find(({ child }) => child === undefined && !this.options.restart);
      if (dead !== undefined || Date.now() > deadline || this.stopping) {
        const names = waiting.map(({ process }) => process.id).join(', ');
        const words = (dead ?? waiting[0])?.lastWords.trim().split('\n').at(-1) ?? '';
        throw new SynodError(
          'unavailable',
          `not ready: ${names}; see ${this.logOf(waiting[0])}${words === '' ? '' : `: ${words}`}`,
        );
      }
      await pause(READY_POLL_MS);
    }
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
      ['--enable-source-maps', program, ...flagsOf(options.plan, plan, this.folderOf(plan))],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...process.env, ...options.environment, SYNOD_PARENT_PID: String(process.pid) },
      },
    );
    supervised.child = child;
    supervised.lastWords = '';
    supervised.log ??= createWriteStream(this.logOf(supervised), { flags: 'a' });
    const log = supervised.log;
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        log.write(chunk);
        supervised.lastWords = (supervised.lastWords + chunk.toString()).slice(-LAST_WORDS_BYTES);
      });
    }
    child.once('error', (error) => (supervised.lastWords = error.message));
    child.once('close', (code, signal) => this.died(supervised, child, signal ?? `exit code ${code}`));
  }

  private died(supervised: Supervised, child: ChildProcess, cause: string): void {
    supervised.child = undefined;
    if (this.stopping || supervised.held) return;
    const { id } = supervised.process;
    this.options.report({ kind: 'died', id, pid: child.pid ?? 0, cause, lastWords: supervised.lastWords });
    if (!this.options.restart) return;
    setTimeout(() => {
      if (this.stopping || supervised.held || supervised.child !== undefined) return;
      this.spawn(supervised);
      this.options.report({ kind: 'restarted', id, pid: this.find(id).child?.pid ?? 0 });
    }, RESTART_PAUSE_MS);
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
