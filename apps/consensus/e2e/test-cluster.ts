import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { builtProgram, freePorts, LoggedProcess } from '@synod/test-processes';

interface Ports {
  readonly client: number;
  readonly peer: number;
  readonly http: number;
}

/** One process of the service. */
export class TestMember {
  /** What it runs from its next start on. */
  program = builtProgram('consensus');
  private process: LoggedProcess | undefined;

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
    return this.process?.runs === true;
  }

  /** Of its last start. */
  get log(): string {
    return this.process?.log ?? '';
  }

  start(extraFlags: readonly string[] = []): void {
    this.run([...this.flags, ...extraFlags]);
  }

  /** Starts it with these flags alone. */
  run(flags: readonly string[], env: Readonly<Record<string, string>> = {}): void {
    this.process = new LoggedProcess(this.id, {
      program: this.program,
      flags,
      env,
      folder: path.dirname(this.folder),
    });
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
    if (this.process === undefined) throw new Error(`${this.id} was never started`);
    return this.process.logged(text);
  }

  async ready(): Promise<string> {
    return this.logged('"message":"ready"');
  }

  /** @returns the exit code once the process has ended, or had before, and its log is whole; null if a signal ended it; 0 if there was none */
  async ended(): Promise<number | null> {
    return this.process?.ended() ?? 0;
  }

  /** @returns the exit code; null if the signal ended it */
  async kill(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> {
    return this.process?.end(signal) ?? 0;
  }

  /** Stops its time, or lets it go on. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.process?.signal(signal);
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
    await Promise.all(this.members.map((member) => member.ready()));
  }

  async destroy(): Promise<void> {
    await Promise.all(this.members.map((member) => member.kill('SIGKILL')));
    rmSync(this.folder, { recursive: true, force: true });
  }
}
