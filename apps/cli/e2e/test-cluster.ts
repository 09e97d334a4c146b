import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { eventually } from '@synod/eventually';
import { DEFAULT_SHAPE, fixedPorts, planCluster, refuseTakenPorts, type RunningProcess } from '@synod/launcher';

export const WORKSPACE = path.resolve(__dirname, '../../..');
const SYNOD = path.join(WORKSPACE, 'dist/apps/cli/main.js');

/** Quick to start, and still with every service. */
export const SMALL = ['--consensus', '1', '--coordinators', '1', '--workers', '2'];

export interface Finished {
  readonly code: number | null;
  readonly out: Buffer;
  readonly err: string;
}

export interface RunOptions {
  readonly input?: Buffer | string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs `synod …` to its end. */
export function synod(args: readonly string[], { input = '', env = {} }: RunOptions = {}): Promise<Finished> {
  if (!existsSync(SYNOD)) throw new Error(`${SYNOD} is missing: run npx nx run-many -t build first`);
  const child = spawn(process.execPath, [SYNOD, ...args], { env: { ...process.env, ...env } });
  const out: Buffer[] = [];
  let err = '';
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
  // A command that needs no input may end before it was given any.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, out: Buffer.concat(out), err })));
}

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
  directly: [process.execPath, SYNOD],
  byNpx: ['npx', 'synod'],
} as const;

export interface UpOptions {
  readonly start?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** A `synod up` in a process of its own. */
export class Up {
  private out = '';
  private err = '';
  private code: number | null | undefined;
  private readonly child: ChildProcess;

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
    await eventually('the ready line', () => this.out.includes('\n') || this.code !== undefined, 90_000);
    if (!this.out.includes('\n')) throw new Error(`up ended before it was ready: ${this.err}`);
    return JSON.parse(this.out) as ReadyLine;
  }

  async said(text: string | RegExp): Promise<void> {
    const isSaid = (): boolean => (typeof text === 'string' ? this.err.includes(text) : text.test(this.err));
    await eventually(`up to say ${String(text)}`, isSaid, 20_000);
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** @returns the exit code; null if a signal ended it */
  async ended(): Promise<number | null> {
    await eventually('the end of up', () => this.code !== undefined, 60_000);
    return this.code ?? null;
  }
}

/** A temporary folder with a port base of its own; whatever is started on it must be gone in the end. */
export class Place {
  readonly folder = mkdtempSync(path.join(tmpdir(), 'synod-cli-'));

  private constructor(readonly portBase: number) {}

  static async find(): Promise<Place> {
    return new Place(await freePortBase());
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
    return allPids().filter((pid) => commandOf(pid).includes(this.folder));
  }

  /** Nothing runs on the folder any more: else a test has left something, and it is killed. */
  async remove(): Promise<void> {
    const left = this.processes();
    for (const pid of left) process.kill(pid, 'SIGKILL');
    await eventually('what was left to be gone', () => this.processes().length === 0, 5_000);
    rmSync(this.folder, { recursive: true });
    if (left.length > 0) throw new Error(`${left.length} processes were left behind`);
  }
}

/** Below the ports that the system gives to clients; a range for each of two files of tests that run at once. */
const PORT_BASES = { first: 10_000 + 5_000 * (Number(process.env['JEST_WORKER_ID'] ?? 1) % 2), count: 4_000 };
/** Of bases that are tried before it is the machine that is wrong. */
const TRIES_MAX = 1_000;

async function freePortBase(): Promise<number> {
  for (let tried = 0; tried < TRIES_MAX; tried++) {
    const base = PORT_BASES.first + Math.floor(Math.random() * PORT_BASES.count);
    try {
      await refuseTakenPorts(planCluster(DEFAULT_SHAPE, fixedPorts(base)).processes);
      return base;
    } catch {
      // Another base, then.
    }
  }
  throw new Error(`no free ports for a cluster in ${PORT_BASES.count} from ${PORT_BASES.first} on`);
}

/** A process as it was seen: its pid may be given to another later. */
export interface Seen {
  readonly pid: number;
  readonly startTime: string;
}

/** Everything that a process has started, and what that has started. */
export function descendantsOf(pid: number): Seen[] {
  const children = allPids().filter((each) => statOf(each)?.parent === pid);
  return children.flatMap((child) => [
    { pid: child, startTime: statOf(child)?.startTime ?? '' },
    ...descendantsOf(child),
  ]);
}

export function isAlive({ pid, startTime }: Seen): boolean {
  const stat = statOf(pid);
  return stat !== undefined && stat.startTime === startTime && stat.state !== 'Z';
}

/** @returns how long it took for all to be gone */
export async function msUntilGone(processes: readonly Seen[]): Promise<number> {
  const since = performance.now();
  await eventually('every process to be gone', () => !processes.some(isAlive), 15_000);
  return performance.now() - since;
}

export function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}

function allPids(): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0);
}

function statOf(pid: number): { state: string; parent: number; startTime: string } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0] ?? '', parent: Number(fields[1]), startTime: fields[19] ?? '' };
  } catch {
    return undefined;
  }
}
