import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { serviceDefinition } from '@synod/contracts';
import { freePorts } from '@synod/launcher';
import { GrpcChannels } from '@synod/rpc';
import type { Place, System } from './system';

const MEMBERS = 3;
const READY_MS = 120_000;
const PROBE_MS = 20;
const CALL_MS = 2_000;

const kv = serviceDefinition('etcdserverpb.KV');
const maintenance = serviceDefinition('etcdserverpb.Maintenance');

interface Member extends Place {
  process: ChildProcess | undefined;
}

/** Three durable members of one system on this machine, each a process, with data in a temporary folder. */
export class Trio {
  readonly channels = new GrpcChannels();
  private readonly exit = (): void => {
    for (const { process } of this.members) process?.kill('SIGKILL');
  };

  private constructor(
    readonly system: System,
    private readonly folder: string,
    private readonly members: readonly Member[],
  ) {
    process.once('exit', this.exit);
  }

  /** Starts all members and waits until one of them answers a linearizable read. */
  static async start(system: System): Promise<Trio> {
    const folder = await mkdtemp(path.join(tmpdir(), `synod-bench-${system.name}-`));
    const ports = await freePorts(3 * MEMBERS);
    const members = Array.from({ length: MEMBERS }, (_, index) => {
      const [client, peer, http] = ports.slice(3 * index).map((port) => `127.0.0.1:${port}`) as [
        string,
        string,
        string,
      ];
      const name = `m${index + 1}`;
      return { name, folder: path.join(folder, name), client, peer, http, process: undefined };
    });
    const trio = new Trio(system, folder, members);
    for (const member of members) trio.launch(member);
    await trio.leader();
    return trio;
  }

  /** Client addresses of all members. */
  get addresses(): string[] {
    return this.members.map(({ client }) => client);
  }

  /** The client address of the member that leads and serves, once there is one. */
  async leader(): Promise<string> {
    const deadline = performance.now() + READY_MS;
    while (performance.now() < deadline) {
      for (const { client } of this.members) {
        const status = await this.status(client);
        if (status !== undefined && status.leader === status.header?.memberId && (await this.serves(client)))
          return client;
      }
      await pause(PROBE_MS);
    }
    const logs = this.members.map(({ name }) =>
      readFileSync(path.join(this.folder, `${name}.log`), 'utf8').slice(-1_000),
    );
    throw new Error(
      `no member of ${this.system.name} leads and serves after ${READY_MS / 1000} s:\n${logs.join('\n')}`,
    );
  }

  /** Whether a member answers a linearizable read now. */
  async serves(client: string): Promise<boolean> {
    const options = { deadlineMs: CALL_MS };
    return this.channels.callUnary(client, kv.Range, { key: Buffer.from('bench') }, options).then(
      () => true,
      () => false,
    );
  }

  /** Anonymous memory of each member, in bytes. */
  memoryBytes(): number[] {
    return this.members.map(({ process: member }) => {
      const status = readFileSync(`/proc/${member?.pid ?? 'self'}/status`, 'utf8');
      return Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1] ?? NaN) * 1024;
    });
  }

  async stop(client: string, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const member = this.at(client);
    const running = member.process;
    if (running === undefined) return;
    const ended = new Promise((resolve) => running.once('exit', resolve));
    running.kill(signal);
    await ended;
  }

  restart(client: string): void {
    this.launch(this.at(client));
  }

  /** Leaves no process and no file. */
  async remove(): Promise<void> {
    await Promise.all(this.addresses.map((client) => this.stop(client, 'SIGKILL')));
    this.channels.close();
    process.off('exit', this.exit);
    await rm(this.folder, { recursive: true, force: true });
  }

  private launch(member: Member): void {
    const [program, ...args] = this.system.commandLine(member, this.members);
    const log = openSync(path.join(this.folder, `${member.name}.log`), 'a');
    const child = spawn(program, args, { stdio: ['ignore', log, log] });
    closeSync(log);
    child.once('exit', () => (member.process = undefined));
    member.process = child;
  }

  private async status(client: string) {
    return this.channels.callUnary(client, maintenance.Status, {}, { deadlineMs: CALL_MS }).catch(() => undefined);
  }

  private at(client: string): Member {
    const found = this.members.find((member) => member.client === client);
    if (found === undefined) throw new Error(`${client} is no member's`);
    return found;
  }
}
