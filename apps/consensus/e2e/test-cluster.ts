import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { eventually } from '@synod/eventually';

const PROGRAM = path.join(__dirname, '../../../dist/apps/consensus/main.js');

interface Ports {
  readonly client: number;
  readonly peer: number;
  readonly http: number;
}

/** One process of the service. */
export class TestMember {
  /** What it runs from its next start on. */
  program = PROGRAM;
  private process: ChildProcess | undefined;
  private closed: Promise<number | null> = Promise.resolve(0);
  private readonly lines: string[] = [];

  constructor(
    readonly id: string,
    readonly ports: Ports,
    readonly folder: string,
    private readonly initialCluster: string,
  ) {}

  get address(): string {
    return `127.0.0.1:${this.ports.client}`;
  }

  get runs(): boolean {
    return this.process !== undefined;
  }

  get log(): string {
    return this.lines.join('\n');
  }

  start(extraFlags: readonly string[] = []): void {
    this.run([...this.flags, ...extraFlags]);
  }

  /** Starts it with these flags alone. */
  run(flags: readonly string[], env: Readonly<Record<string, string>> = {}): void {
    const child = spawn(process.execPath, [this.program, ...flags], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, ...env },
      cwd: path.dirname(this.folder),
    });
    this.process = child;
    this.lines.length = 0;
    createInterface({ input: child.stderr }).on('line', (line) => this.lines.push(line));
    child.on('exit', () => (this.process = undefined));
    this.closed = new Promise((resolve) => child.on('close', resolve));
  }

  private get flags(): string[] {
    return [
      ['--node-id', this.id],
      ['--data-dir', this.folder],
      ['--listen', this.address],
      ['--peer-listen', `127.0.0.1:${this.ports.peer}`],
      ['--http-listen', `127.0.0.1:${this.ports.http}`],
      ['--initial-cluster', this.initialCluster],
    ].flat();
  }

  /** Resolves with the first line of the log that holds a text; rejects if the process ends before. */
  async logged(text: string): Promise<string> {
    return eventually(`${this.id} to say ${text}`, () => {
      const line = this.lines.find((each) => each.includes(text));
      if (line === undefined && this.process === undefined)
        throw new Error(`${this.id} ended without saying ${text}:\n${this.log}`);
      return line;
    });
  }

  /** @returns the exit code once the process has ended, or had before, and its log is whole; null if a signal ended it; 0 if there was none */
  async ended(): Promise<number | null> {
    return this.closed;
  }

  async kill(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const ended = this.ended();
    this.process?.kill(signal);
    await ended;
  }

  /** Stops its time, or lets it go on. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.process?.kill(signal);
  }

  /** Kilobytes of its memory that no file backs. */
  get anonymousKilobytes(): number {
    const status = readFileSync(`/proc/${this.process?.pid ?? 0}/status`, 'utf8');
    return Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1]);
  }
}

/** Members on free ports, with data in a temporary folder. */
export class TestCluster {
  private constructor(
    readonly folder: string,
    readonly members: readonly TestMember[],
  ) {}

  /** Chooses ports and folders; starts nothing. */
  static async plan(size: number): Promise<TestCluster> {
    if (!existsSync(PROGRAM)) throw new Error(`${PROGRAM} is missing: run npx nx build consensus first`);
    const folder = mkdtempSync(path.join(tmpdir(), 'synod-consensus-'));
    const ports = await freePorts(3 * size);
    const plans = Array.from({ length: size }, (_, index) => {
      const [client = 0, peer = 0, http = 0] = ports.slice(3 * index);
      return { id: `n${index + 1}`, ports: { client, peer, http } };
    });
    const initialCluster = plans.map((plan) => `${plan.id}=127.0.0.1:${plan.ports.peer}`).join(',');
    const members = plans.map(
      (plan) => new TestMember(plan.id, plan.ports, path.join(folder, plan.id), initialCluster),
    );
    return new TestCluster(folder, members);
  }

  static async start(size: number): Promise<TestCluster> {
    const cluster = await TestCluster.plan(size);
    for (const member of cluster.members) member.start();
    try {
      await cluster.ready();
    } catch (error) {
      await cluster.destroy(); // Nobody else knows it yet.
      throw error;
    }
    return cluster;
  }

  get endpoints(): string[] {
    return this.members.map(({ address }) => address);
  }

  async ready(): Promise<void> {
    await Promise.all(this.members.map((member) => member.logged('"message":"ready"')));
  }

  async destroy(): Promise<void> {
    await Promise.all(this.members.map((member) => member.kill('SIGKILL')));
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Below the ports that the system gives to clients; a range for each of two files of tests that run at once. */
const PORTS = { first: 20_000 + 5_000 * (Number(process.env['JEST_WORKER_ID'] ?? 1) % 2), count: 5_000 };
/** Of ports that are tried before it is the machine that is wrong. */
const TRIES_MAX = 10_000;

/** Ports that nobody listens on now: all are held open until the last one is found. */
export async function freePorts(count: number): Promise<number[]> {
  const held: Server[] = [];
  const ports: number[] = [];
  for (let tried = 0; ports.length < count; tried++) {
    if (tried === TRIES_MAX) throw new Error(`no ${count} free ports in ${PORTS.count} from ${PORTS.first} on`);
    const port = PORTS.first + Math.floor(Math.random() * PORTS.count);
    const server = await listening(port);
    if (server === undefined) continue;
    held.push(server);
    ports.push(port);
  }
  await Promise.all(held.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** @returns undefined if the port is taken */
function listening(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}
