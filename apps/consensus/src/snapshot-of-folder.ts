import { constants } from 'node:fs';
import { copyFile, mkdtemp, open, rm } from 'node:fs/promises';
import path from 'node:path';
import { survivingGroup, type SurvivingGroup } from '@synod/replication';
import { FolderInUse, openDisk, RELEASE, SynodError, type Disk, type Store } from '@synod/runtime';
import { DataFolder } from '@synod/service-kit';
import { checkStorePages, openStore } from '@synod/storage-engine';
import { DATA_FOLDER, STORE_PREFIX, WAL_FOLDER } from './data-format';
import { CONSENSUS_GROUP } from './founding-protocol';
import { FoundingStore, type ClusterFounding } from './founding-store';
import { snapshotPieces, withDigest, type SnapshotHeader } from './snapshot-file';
import { EtcdStateMachine } from './state/state-machine';
import { StateSnapshot } from './state-snapshot';

export interface FolderSnapshotOptions {
  /** The data folder of a member that does not run. */
  readonly folder: string;
  /** Where the snapshot goes; an empty file is there already. The state is copied beside it for as long as it takes. */
  readonly file: string;
  /** Leave out what is in the log and not in the store yet. */
  readonly withoutLog: boolean;
}

export interface FolderSnapshot extends SnapshotHeader {
  /** Of the leader that this member followed last: of several folders, the one with the highest round has the latest of what was acknowledged; among equals that with the highest instance. */
  readonly round: number;
  /** How many instances, the last ones, come from the log. */
  readonly fromLog: number;
  /** Of these, how many the member does not know to be chosen, by what is on its disk. */
  readonly unconfirmed: number;
  /** The cluster had removed the member. */
  readonly removed: boolean;
  /** What the member had found harmed while it ran, if it did: a state that differs from the others' does not show in the folder. */
  readonly harm?: string;
  readonly sizeBytes: number;
}

const STORE_FILE = 'data.mdb';

/**
 * Saves what one member's data folder holds when there is no member left that could serve it: a majority is gone for good. It takes no leader, no network
 * and no user, and changes nothing in the folder. Invariant `survivor-holds-what-it-applied`: all that the member had applied, hence all that it ever
 * showed anybody, is in it.
 * @throws {SynodError} `failed-precondition` if the folder is in use, of another service or of a later release, or holds no state; `corrupt`, with the place
 */
export async function snapshotOfFolder({ folder, file, withoutLog }: FolderSnapshotOptions): Promise<FolderSnapshot> {
  const data = await borrow(folder);
  try {
    const disk = openDisk(data.folder);
    const founding = await new FoundingStore(disk).read();
    if (founding === undefined) {
      throw new SynodError(
        'failed-precondition',
        `${data.folder} has not taken part in a cluster yet: nothing is in it`,
      );
    }
    const storeFolder = path.join(data.folder, 'store');
    await checkStorePages(storeFolder);
    const scratch = await mkdtemp(`${file}.store-`);
    try {
      await copyStore(storeFolder, scratch);
      const store = await openStore({ folder: scratch });
      try {
        const group = await surviving(store, withoutLog ? undefined : disk);
        const { nodeId: member, harm } = data.version;
        const saved = await write(file, store, { group, founding, member });
        return { ...saved, ...(harm === undefined ? {} : { harm }) };
      } finally {
        await store.close();
      }
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  } finally {
    await data.release();
  }
}

async function borrow(folder: string): Promise<DataFolder> {
  try {
    return await DataFolder.borrow({ folder, ...DATA_FOLDER });
  } catch (error) {
    if (!(error instanceof FolderInUse)) throw error;
    throw new SynodError(
      'failed-precondition',
      `${path.resolve(folder)} belongs to a member that runs: save from that, with --endpoints, or stop it first (${error.message})`,
      { cause: error },
    );
  }
}

/** LMDB changes a file by opening it, and dies of one that is harmed: it gets a copy. */
async function copyStore(from: string, to: string): Promise<void> {
  try {
    await copyFile(path.join(from, STORE_FILE), path.join(to, STORE_FILE), constants.COPYFILE_FICLONE);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause;
    throw new SynodError('corrupt', `${from} holds no store: nothing was applied here, or it is lost`, { cause });
  }
}

/** @param disk none to leave the log out */
async function surviving(store: Store, disk: Disk | undefined): Promise<SurvivingGroup> {
  const log = disk && { disk, folder: WAL_FOLDER };
  try {
    return await survivingGroup({
      store,
      group: CONSENSUS_GROUP,
      prefix: STORE_PREFIX,
      ...(log === undefined ? {} : { log }),
    });
  } catch (error) {
    if (!(error instanceof SynodError) || error.kind !== 'corrupt') throw error;
    throw new SynodError(
      'corrupt',
      `${error.message} (--without-log saves what the store holds, without the last second before the member ended)`,
      { cause: error },
    );
  }
}

async function write(
  file: string,
  store: Store,
  from: { readonly group: SurvivingGroup; readonly founding: ClusterFounding; readonly member: string },
): Promise<FolderSnapshot> {
  const { state, prefix, entries, removed } = from.group;
  const { instance, term } = entries.at(-1) ?? { instance: state.appliedThrough, term: state.term };
  if (instance === 0)
    throw new SynodError('failed-precondition', `${from.member} has applied nothing yet: there is nothing to save`);
  const snapshot = applied(store, prefix, entries);
  try {
    const { revision, compacted } = snapshot.meta;
    const header: SnapshotHeader = {
      release: RELEASE,
      cluster: from.founding.clusterId,
      member: from.member,
      revision: revision.toString(),
      compacted: compacted.toString(),
      instance,
    };
    const sizeBytes = await writeFile(file, withDigest(snapshotPieces(header, snapshot.records())));
    const unconfirmed = entries.filter(({ learned }) => !learned).length;
    return { ...header, round: term.round, fromLog: entries.length, unconfirmed, removed, sizeBytes };
  } finally {
    snapshot.release();
  }
}

/** The state after the log's entries too. */
function applied(store: Store, prefix: Buffer, entries: SurvivingGroup['entries']): StateSnapshot {
  const machine = new EtcdStateMachine(STORE_PREFIX);
  machine.load(prefix);
  for (const { instance, commands } of entries) {
    store.transaction((transaction) => {
      for (const [index, command] of commands.entries()) machine.apply(transaction, command, { instance, index });
      machine.finish(transaction);
    });
    machine.committed(store);
  }
  const pause = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  return new StateSnapshot(machine.keySpace.copy(), store.snapshot(), pause);
}

async function writeFile(file: string, pieces: AsyncIterable<Buffer>): Promise<number> {
  const handle = await open(file, 'w');
  try {
    let size = 0;
    for await (const piece of pieces) {
      await handle.write(piece);
      size += piece.length;
    }
    await handle.sync();
    return size;
  } finally {
    await handle.close();
  }
}
