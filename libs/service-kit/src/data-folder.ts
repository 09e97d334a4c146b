import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename } from 'node:fs/promises';
import path from 'node:path';
import { invariant } from '@synod/invariant';
import { z } from 'zod';
import { lockFolder, SynodError, type FolderLock } from '@synod/runtime';

/** Who a data folder belongs to, and in which format. */
export interface Version {
  readonly format: number;
  readonly service: string;
  readonly nodeId: string;
  /** Drawn when the folder was empty: another incarnation is another disk. */
  readonly incarnation: string;
  /** Absent until the node has met its cluster. */
  readonly clusterId?: string;
  /** The cluster that this node took part in with a disk that was set aside; it takes part in no other. Gone once it does again. */
  readonly returnsTo?: string;
  /** What this disk will be called once it is set aside. */
  readonly nextIncarnation?: string;
  /** What its node found harmed in it while it ran, with the place. */
  readonly harm?: string;
  /** Where what lies here is being moved: nothing of it belongs to this incarnation. */
  readonly settingAside?: string;
}

const FILE = 'VERSION';
const LOCK = 'LOCK';
const SET_ASIDE = /^harmed-\d+$/;
/** What is set aside is never deleted: a disk that rots again after so many is not to be filled with copies of its state. */
const SET_ASIDE_MAX = 2;

const versionSchema = z.object({
  format: z.number().int(),
  service: z.string(),
  nodeId: z.string(),
  incarnation: z.string().min(1),
  clusterId: z.string().min(1).optional(),
  returnsTo: z.string().min(1).optional(),
  nextIncarnation: z.string().min(1).optional(),
  harm: z.string().min(1).optional(),
  settingAside: z.string().regex(SET_ASIDE).optional(),
});

/**
 * A node's data folder, held by this process alone.
 *
 * Invariant `old-disk-or-new-one`: whatever crashes, a process finds either all that the folder held under the old incarnation, or
 * none of it under a new one. The new name is durable before the first file moves, and no process sees the folder before the last one has.
 */
export class DataFolder {
  private constructor(
    readonly folder: string,
    private readonly lock: FolderLock,
    private current: Version,
    /** Whether this start found it empty. */
    readonly fresh: boolean,
  ) {}

  get version(): Version {
    return this.current;
  }

  /**
   * Takes a folder for this process; an empty one draws an incarnation.
   * @throws {SynodError} `failed-precondition`, in one line that says what to do, if another process holds it, or it belongs to another
   *   service, node or format, or holds files but no VERSION
   */
  static async open(options: { folder: string; service: string; nodeId: string; format: number }): Promise<DataFolder> {
    const { service, nodeId, format } = options;
    const folder = path.resolve(options.folder);
    await createFolder(folder);
    const lock = await lockFolder(folder, LOCK);
    try {
      return await DataFolder.read(folder, lock, { service, nodeId, format });
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /**
   * Takes the folder of a node that does not run, to be read and not changed: none is made, no incarnation drawn, no move that was broken off gone on with.
   * @throws {SynodError} `failed-precondition` as `open` does, for any node of the service; also if the folder is between two incarnations
   */
  static async borrow(options: { folder: string; service: string; format: number }): Promise<DataFolder> {
    const folder = path.resolve(options.folder);
    const found = await readVersion(folder);
    if (found === undefined) throw refusal(`${folder} has no VERSION: it is not a data folder`);
    refuseForeign(folder, found, { ...options, nodeId: found.nodeId });
    const lock = await lockFolder(folder, LOCK);
    try {
      // Its owner may have run, and ended, meanwhile.
      const version = (await readVersion(folder)) ?? found;
      if (version.settingAside !== undefined) {
        throw refusal(
          `${folder} is being set aside: a part of what it held is in ${path.join(folder, version.settingAside)}; start its node, which goes on with that`,
        );
      }
      return new DataFolder(folder, lock, version, false);
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  private static async read(
    folder: string,
    lock: FolderLock,
    wanted: Pick<Version, 'service' | 'nodeId' | 'format'>,
  ): Promise<DataFolder> {
    const found = await readVersion(folder);
    if (found !== undefined) {
      refuseForeign(folder, found, wanted);
      const data = new DataFolder(folder, lock, found, false);
      // A crash broke it off.
      await data.moveAside();
      return data;
    }
    const strangers = (await readdir(folder)).filter((name) => name !== LOCK && !name.startsWith(`${FILE}.`));
    if (strangers.length > 0) {
      throw refusal(
        `${folder} holds files (${strangers[0]} …) but no VERSION: it is not a data folder; use an empty one`,
      );
    }
    const version: Version = { ...wanted, incarnation: drawIncarnation() };
    await writeVersion(folder, version);
    return new DataFolder(folder, lock, version, true);
  }

  /**
   * Remembers the cluster that the node has met, for good.
   * @throws {SynodError} `failed-precondition` if the folder belongs to another cluster
   */
  async join(clusterId: string): Promise<void> {
    if (this.current.clusterId === clusterId) return;
    if (this.current.clusterId !== undefined) {
      throw refusal(
        `${this.folder} belongs to cluster ${this.current.clusterId}, not to ${clusterId}; use its own data folder, or the right --consensus`,
      );
    }
    const { returnsTo, ...rest } = this.current;
    if (returnsTo !== undefined && returnsTo !== clusterId) {
      throw refusal(`${this.folder} is to come back to cluster ${returnsTo}, not to ${clusterId}`);
    }
    this.current = { ...rest, clusterId };
    await writeVersion(this.folder, this.current);
  }

  /** The folders in it that hold what was set aside. */
  async setAsideBefore(): Promise<string[]> {
    const held = await Promise.all(
      (await readdir(this.folder))
        .filter((name) => SET_ASIDE.test(name))
        .map(async (name) =>
          (await readdir(path.join(this.folder, name))).some((file) => file !== FILE) ? [name] : [],
        ),
    );
    return held.flat().sort();
  }

  /**
   * @throws {SynodError} `failed-precondition` if nothing more may be set aside here
   */
  async checkRoomAside(): Promise<void> {
    const before = await this.setAsideBefore();
    if (before.length < SET_ASIDE_MAX) return;
    throw refusal(
      `${this.folder} has been set aside ${before.length} times already (${before.join(', ')}): check the disk, and move those away`,
    );
  }

  /** Remembers that it is harmed, so that the next start need not find it out again: what it was may take long to come by. */
  async noteHarm(harm: string): Promise<void> {
    this.current = { ...this.current, harm };
    await writeVersion(this.folder, this.current);
  }

  /** The name that the folder will have once it is set aside: drawn when it is first asked for, and the same from then on. */
  async nameNext(): Promise<string> {
    const { nextIncarnation = drawIncarnation() } = this.current;
    if (this.current.nextIncarnation === undefined) {
      this.current = { ...this.current, nextIncarnation };
      await writeVersion(this.folder, this.current);
    }
    return nextIncarnation;
  }

  /**
   * Begins the folder anew, as another disk of this node, called as `nameNext` said: all that it holds goes to a folder in it, by renames
   * alone. Nothing of it may be open.
   * @returns the name of the folder that it went to
   * @throws {SynodError} `failed-precondition` if nothing more may be set aside here
   */
  async setAside(): Promise<string> {
    const incarnation = await this.nameNext();
    invariant(incarnation !== this.current.incarnation, 'old-disk-or-new-one', () => `${incarnation} is the old one`);
    await this.checkRoomAside();
    const taken = await this.setAsideBefore();
    const name = Array.from({ length: SET_ASIDE_MAX + 1 }, (_, index) => `harmed-${index + 1}`).find(
      (each) => !taken.includes(each),
    ) as string;
    const aside = path.join(this.folder, name);
    await createFolder(aside);
    // With its old name beside them the files are a data folder again, for whoever wants to look into them.
    await writeVersion(aside, this.current);
    const { format, service, nodeId, clusterId, returnsTo = clusterId } = this.current;
    const cluster = returnsTo === undefined ? {} : { returnsTo };
    this.current = { format, service, nodeId, incarnation, ...cluster, settingAside: name };
    await writeVersion(this.folder, this.current);
    await this.moveAside();
    return name;
  }

  private async moveAside(): Promise<void> {
    const { settingAside, ...rest } = this.current;
    if (settingAside === undefined) return;
    const aside = path.join(this.folder, settingAside);
    for (const name of await readdir(this.folder)) {
      if (name === LOCK || name.startsWith(FILE) || SET_ASIDE.test(name)) continue;
      await rename(path.join(this.folder, name), path.join(aside, name));
    }
    await syncFolder(aside);
    await syncFolder(this.folder);
    this.current = rest;
    await writeVersion(this.folder, rest);
  }

  async release(): Promise<void> {
    await this.lock.release();
  }
}

function drawIncarnation(): string {
  return randomBytes(8).toString('hex');
}

/** Its name, and those of the parents made with it, are on disk when this resolves: a folder that vanishes takes its votes along. */
async function createFolder(folder: string): Promise<void> {
  try {
    const first = await mkdir(folder, { recursive: true });
    if (first === undefined) return;
    for (let made = folder; made.length >= first.length; made = path.dirname(made))
      await syncFolder(path.dirname(made));
  } catch (cause) {
    throw new SynodError('failed-precondition', `${folder} cannot be a data folder: ${(cause as Error).message}`, {
      cause,
    });
  }
}

async function syncFolder(folder: string): Promise<void> {
  const directory = await open(folder, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function refusal(message: string): SynodError {
  return new SynodError('failed-precondition', message);
}

function refuseForeign(folder: string, found: Version, wanted: Pick<Version, 'service' | 'nodeId' | 'format'>): void {
  if (found.service !== wanted.service) {
    throw refusal(`${folder} is a data folder of ${found.service}, not of ${wanted.service}; use another --data-dir`);
  }
  if (found.format !== wanted.format) {
    throw refusal(
      `${folder} has format ${found.format}, this release reads ${wanted.format}; start the release that wrote it`,
    );
  }
  if (found.nodeId !== wanted.nodeId) {
    throw refusal(
      `${folder} belongs to node ${found.nodeId}, not to ${wanted.nodeId}; use another --data-dir or --node-id`,
    );
  }
}

async function readVersion(folder: string): Promise<Version | undefined> {
  let text: string;
  try {
    text = await readFile(path.join(folder, FILE), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const { clusterId, returnsTo, nextIncarnation, harm, settingAside, ...rest } = versionSchema.parse(
      JSON.parse(text),
    );
    return {
      ...rest,
      ...(clusterId === undefined ? {} : { clusterId }),
      ...(returnsTo === undefined ? {} : { returnsTo }),
      ...(nextIncarnation === undefined ? {} : { nextIncarnation }),
      ...(harm === undefined ? {} : { harm }),
      ...(settingAside === undefined ? {} : { settingAside }),
    };
  } catch {
    throw new SynodError('corrupt', `${path.join(folder, FILE)} is damaged; restore it from a backup of the folder`);
  }
}

/** Written beside, synced, renamed, and the folder synced: a crash leaves the old one or the new one. */
async function writeVersion(folder: string, version: Version): Promise<void> {
  const draft = path.join(folder, `${FILE}.draft`);
  const file = await open(draft, 'w');
  await file.writeFile(`${JSON.stringify(version, null, 2)}\n`);
  await file.sync();
  await file.close();
  await rename(draft, path.join(folder, FILE));
  await syncFolder(folder);
}
