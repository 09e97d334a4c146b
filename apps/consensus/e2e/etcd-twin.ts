import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { freePorts } from '@synod/test-processes';

/** A real etcd of one member, to be compared with. */
export class EtcdTwin {
  private constructor(
    readonly address: string,
    private readonly process: ChildProcess,
    private readonly folder: string,
  ) {}

  static async start(extraFlags: readonly string[] = []): Promise<EtcdTwin> {
    const folder = mkdtempSync(path.join(tmpdir(), 'synod-etcd-'));
    const [client = 0, peer = 0] = await freePorts(2);
    const urls = { client: `http://127.0.0.1:${client}`, peer: `http://127.0.0.1:${peer}` };
    const flags = [
      ['--name', 'twin', '--data-dir', folder, '--initial-cluster', `twin=${urls.peer}`],
      ['--listen-client-urls', urls.client, '--advertise-client-urls', urls.client],
      ['--listen-peer-urls', urls.peer, '--initial-advertise-peer-urls', urls.peer, '--log-level', 'error'],
    ].flat();
    return new EtcdTwin(`127.0.0.1:${client}`, spawn('etcd', [...flags, ...extraFlags], { stdio: 'ignore' }), folder);
  }

  async destroy(): Promise<void> {
    const ended = new Promise((resolve) => this.process.on('close', resolve));
    this.process.kill('SIGKILL');
    await ended;
    rmSync(this.folder, { recursive: true, force: true });
  }
}
