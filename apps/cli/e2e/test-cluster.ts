import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { eventually } from '@synod/eventually';
import { DEFAULT_SHAPE, fixedPorts, planCluster, type RunningProcess } from '@synod/launcher';
import {
  builtProgram,
  freePortBase,
  processesNaming,
  synod,
  WORKSPACE,
  type Finished,
  type RunOptions,
} from '@synod/test-processes';

/** With every service, and as few processes as can hold three replicas of a shard. */
export const SMALL = ['--consensus', '1', '--coordinators', '1', '--workers', '2'];

/** For what does not go by how many there are: no fewer than one of each service, and two where one is to be told from the other. */
export const TINY = ['--consensus', '1', '--storage', '2', '--coordinators', '1', '--workers', '1'];
/** As many processes. */
export const TINY_COUNT = 6;

export interface ReadyLine {
  readonly ready: boolean;
  readonly consensus: readonly string[];
  readonly storage: readonly string[];
  readonly coordinators: readonly string[];
  readonly masters: readonly string[];
  readonly workers: readonly string[];
  readonly processes: readonly RunningProcess[];
}

/** How `synod up` is started. */
export const STARTS = {
  directly: [process.execPath, builtProgram('cli')],
  byNpx: ['npx', 'synod'],
} as const;

export interface UpOptions {
  readonly start?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * In how long a cluster has to be gone that took so long to start: in five seconds, which is what is promised. A start is more work than that; where
 * other programs leave so little of the machine that it takes longer, so may the end.
 */
export function soon(startMs: number): number {
  return Math.max(5_000, startMs);
}

/** A `synod up` in a process of its own. */
export class Up {
  private out = '';
  private err = '';
  private code: number | null | undefined;
  private readonly child: ChildProcess;
  private readonly startedMs = performance.now();
  private readyMs = 0;

  constructor(args: readonly string[], { start = STARTS.directly, env = {} }: UpOptions = {}) {
    const [program = '', ...first] = start;
    this.child = spawn(program, [...first, 'up', ...args], {
      cwd: WORKSPACE,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    this.child.stdout?.on('data', (chunk: Buffer) => (this.out += chunk.toString()));
    this.child.stderr?.on('data', (chunk: Buffer) => (this.err += chunk.toString()));
    this.child.on('close', (code) => (this.code = code));
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  get stdout(): string {
    return this.out;
  }

  get stderr(): string {
    return this.err;
  }

  async ready(): Promise<ReadyLine> {
    await eventually('the ready line', () => this.out.includes('\n') || this.code !== undefined);
    if (!this.out.includes('\n')) throw new Error(`up ended before it was ready: ${this.err}`);
    this.readyMs = performance.now();
    return JSON.parse(this.out) as ReadyLine;
  }

  /** In how long it has to be gone: see `soon`. */
  get soonMs(): number {
    return soon(this.readyMs - this.startedMs);
  }

  async said(text: string | RegExp): Promise<void> {
    const isSaid = (): boolean => (typeof text === 'string' ? this.err.includes(text) : text.test(this.err));
    await eventually(`up to say ${String(text)}`, isSaid);
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** @returns the exit code; null if a signal ended it */
  async ended(): Promise<number | null> {
    await eventually('the end of up', () => this.code !== undefined);
    return this.code ?? null;
  }
}

/** Those of the largest cluster that a test starts. */
const portsFrom = (base: number): number[] =>
  planCluster(DEFAULT_SHAPE, fixedPorts(base)).processes.flatMap(({ ports }) => Object.values<number>({ ...ports }));

/** A temporary folder with a port base of its own; whatever is started on it must be gone in the end. */
export class Place {
  readonly folder = mkdtempSync(path.join(tmpdir(), 'synod-cli-'));

  private constructor(readonly portBase: number) {}

  static async find(): Promise<Place> {
    return new Place(await freePortBase(portsFrom));
  }

  get data(): string {
    return path.join(this.folder, 'data');
  }

  get endpoint(): string {
    return `127.0.0.1:${this.portBase}`;
  }

  up(args: readonly string[] = [], options?: UpOptions): Up {
    return new Up(['--data', this.data, '--port-base', String(this.portBase), ...args], options);
  }

  synod(args: readonly string[], options: RunOptions = {}): Promise<Finished> {
    return synod(args, { ...options, env: { SYNOD_ENDPOINTS: this.endpoint, ...options.env } });
  }

  /** The processes whose command line names the folder. */
  processes(): number[] {
    return processesNaming(this.folder);
  }

  /** Nothing runs on the folder any more: else a test has left something, and it is killed. */
  async remove(): Promise<void> {
    const left = this.processes();
    for (const pid of left) process.kill(pid, 'SIGKILL');
    await eventually('what was left to be gone', () => this.processes().length === 0);
    rmSync(this.folder, { recursive: true });
    if (left.length > 0) throw new Error(`${left.length} processes were left behind`);
  }
}
