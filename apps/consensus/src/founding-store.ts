import type { GroupConfiguration, Member } from '@synod/replication';
import { SynodError, type Disk } from '@synod/runtime';

/** What the founders agreed on, once: who they are, each with its disk, and the cluster's name. */
export interface ClusterFounding {
  readonly clusterId: string;
  /** In order of node id. */
  readonly members: readonly Member[];
  /** On a node that joined later: the members when it took its place. */
  readonly joined?: GroupConfiguration;
  /** The one that this node was founded with, if any: a node that comes back with another one means another cluster. */
  readonly token?: string;
}

const FORMAT = 1;
const FOLDER = 'founding';
const NAME = 'founding.json';

/** Keeps the founding on this node's disk. Once there it is never changed. */
export class FoundingStore {
  constructor(private readonly disk: Disk) {}

  /** @throws {SynodError} `corrupt` if the file is damaged, `failed-precondition` if another release wrote it */
  async read(): Promise<ClusterFounding | undefined> {
    if (!(await this.disk.list(FOLDER)).includes(NAME)) return undefined;
    const file = await this.disk.open(`${FOLDER}/${NAME}`);
    try {
      return parse((await file.read(0, await file.size())).toString());
    } finally {
      await file.close();
    }
  }

  /** Resolves once the founding is durable: written aside, synced, and given its name in one step. */
  async write(founding: ClusterFounding): Promise<void> {
    await this.disk.makeFolder(FOLDER);
    const file = await this.disk.open(`${FOLDER}/${NAME}.new`, { create: true });
    await file.truncate(0);
    await file.write(0, Buffer.from(`${JSON.stringify({ format: FORMAT, ...founding }, undefined, 2)}\n`));
    await file.sync();
    await file.close();
    await this.disk.rename(`${FOLDER}/${NAME}.new`, `${FOLDER}/${NAME}`);
    await this.disk.syncDirectory(FOLDER);
    await this.disk.syncDirectory('');
  }
}

function parse(text: string): ClusterFounding {
  const damaged = (detail: string): SynodError =>
    new SynodError(
      'corrupt',
      `${FOLDER}/${NAME} in the data folder ${detail}; restore it from a backup of this folder`,
    );
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch (cause) {
    throw new SynodError('corrupt', damaged('is not JSON').message, { cause });
  }
  if (typeof found !== 'object' || found === null || !('format' in found)) throw damaged('has no format number');
  if (found.format !== FORMAT) {
    throw new SynodError(
      'failed-precondition',
      `${FOLDER}/${NAME} in the data folder has format ${String(found.format)}, this release reads ${FORMAT}: start the release that wrote it`,
    );
  }
  const { clusterId, members, joined, token } = found as {
    clusterId?: unknown;
    members?: unknown;
    joined?: GroupConfiguration;
    token?: unknown;
  };
  if (typeof clusterId !== 'string' || !Array.isArray(members) || !members.every(isMember)) {
    throw damaged('lacks the cluster id or its members');
  }
  return {
    clusterId,
    members,
    ...(joined === undefined ? {} : { joined }),
    ...(typeof token === 'string' ? { token } : {}),
  };
}

function isMember(value: unknown): value is Member {
  if (typeof value !== 'object' || value === null) return false;
  const { replicaId, nodeId, incarnation } = value as Partial<Record<keyof Member, unknown>>;
  return Number.isInteger(replicaId) && typeof nodeId === 'string' && typeof incarnation === 'string';
}
