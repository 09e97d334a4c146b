import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { NODE_FLAGS } from '@synod/launcher';

/** Where one member of a cluster is to live. */
export interface Place {
  readonly name: string;
  readonly folder: string;
  /** `host:port`, for clients. */
  readonly client: string;
  readonly peer: string;
  readonly http: string;
}

/** A program that answers the etcd v3 API: how one of its members is started. Everything else is the same for all of them. */
export interface System {
  readonly name: string;
  /** What is missing on this machine to run it, if anything. */
  readonly missing: string | undefined;
  commandLine(self: Place, all: readonly Place[]): readonly [program: string, ...args: string[]];
}

const CONSENSUS_MAIN = path.resolve(__dirname, '../../apps/consensus/main.js');

export const SYNOD: System = {
  name: 'synod',
  missing: undefined,
  commandLine: (self, all) => [
    process.execPath,
    ...NODE_FLAGS,
    CONSENSUS_MAIN,
    ...['--node-id', self.name, '--data-dir', self.folder],
    ...['--listen', self.client, '--peer-listen', self.peer, '--http-listen', self.http],
    ...['--initial-cluster', all.map(({ name, peer }) => `${name}=${peer}`).join(',')],
    ...['--log-level', 'error'],
  ],
};

export const ETCD: System = {
  name: 'etcd',
  missing: spawnSync('etcd', ['--version']).error === undefined ? undefined : 'etcd (Debian: etcd-server)',
  commandLine: (self, all) => [
    'etcd',
    ...['--name', self.name, '--data-dir', self.folder, '--log-level', 'error'],
    ...['--listen-client-urls', `http://${self.client}`, '--advertise-client-urls', `http://${self.client}`],
    ...['--listen-peer-urls', `http://${self.peer}`, '--initial-advertise-peer-urls', `http://${self.peer}`],
    ...['--initial-cluster', all.map(({ name, peer }) => `${name}=http://${peer}`).join(',')],
  ],
};
