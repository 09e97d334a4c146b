import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, open, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { NO_BALLOT } from '@synod/paxos';
import { writeFoundingLog, writeGroupState, type Member, type NodeId } from '@synod/replication';
import { openDisk, SynodError, type Store } from '@synod/runtime';
import { DataFolder } from '@synod/service-kit';
import { openStore } from '@synod/storage-engine';
import { DATA_FOLDER, STORE_PREFIX, WAL_FOLDER } from './data-format';
import { CONSENSUS_GROUP } from './founding-protocol';
import { FoundingStore } from './founding-store';
import { SnapshotReader } from './snapshot-reader';
import { keyOfRecord, KeySpace } from './state/key-space';
import { RESERVED } from './state/reserved';
import { spanIncludes } from './state/span';

export interface RestoreOptions {
  readonly file: string;
  /** Must not exist; gets one data folder for each member. */
  readonly folder: string;
  /** Node ids of the new cluster. */
  readonly members: readonly NodeId[];
  /** Added to the revision, so that it does not go back for those who saw later ones than the snapshot has. */
  readonly bumpRevision: bigint;
  /** Give up all states before the bumped revision: watches from older ones are told so, where they would silently miss changes. */
  readonly markCompacted: boolean;
}

export interface Restored {
  readonly cluster: string;
  readonly revision: string;
  readonly records: number;
  /** Of the old cluster's own keys, which mean nothing to a new one. */
  readonly leftOut: number;
  readonly folders: readonly string[];
}

const STORE_FILE = 'data.mdb';
/** The restored state counts as that after the first instance: whoever comes later with nothing must be handed it, and not an empty log. */
const RESTORED_THROUGH = 1;

/**
 * Makes the data folders of a new cluster out of a snapshot: a founding with a new cluster id and new incarnations, and the snapshot's state
 * in every member's store. All members come out of one run: each run is another cluster, so no folder can be made a second time
 * under the name of an acceptor that has voted. The folder appears whole or not at all.
 * @throws {SynodError} `already-exists`, `not-found`, `invalid-argument`, `corrupt`
 */
export async function restoreSnapshot(options: RestoreOptions): Promise<Restored> {
  const folder = path.resolve(options.folder);
  if (await exists(folder)) {
    throw new SynodError('already-exists', `${folder} exists; a snapshot is restored into a folder that does not`);
  }
  const reader = await SnapshotReader.open(options.file);
  await mkdir(path.dirname(folder), { recursive: true });
  const draft = await mkdtemp(`${folder}.restoring-`);
  try {
    const restored = await fill(draft, reader, options);
    await sync(draft);
    await rename(draft, folder);
    await sync(path.dirname(folder));
    return { ...restored, folders: options.members.map((member) => path.join(folder, member)) };
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    throw error;
  } finally {
    await reader.close();
  }
}

async function fill(
  draft: string,
  reader: SnapshotReader,
  options: RestoreOptions,
): Promise<Omit<Restored, 'folders'>> {
  const cluster = randomBytes(8).toString('hex');
  const names = [...options.members].sort();
  const members: Member[] = [];
  for (const [index, nodeId] of names.entries()) {
    const data = await DataFolder.open({ folder: path.join(draft, nodeId), nodeId, ...DATA_FOLDER });
    members.push({ replicaId: index + 1, nodeId, incarnation: data.version.incarnation });
    await data.release();
  }
  const storeOf = (nodeId: NodeId): string => path.join(draft, nodeId, 'store');
  const [first = '', ...others] = names;
  const loaded = await load(storeOf(first), reader, options);
  for (const nodeId of others) {
    await mkdir(storeOf(nodeId));
    await copyFile(path.join(storeOf(first), STORE_FILE), path.join(storeOf(nodeId), STORE_FILE));
    await sync(path.join(storeOf(nodeId), STORE_FILE));
    await sync(storeOf(nodeId));
  }
  for (const nodeId of names) {
    const disk = openDisk(path.join(draft, nodeId));
    await writeFoundingLog(disk, WAL_FOLDER, { group: CONSENSUS_GROUP, members }, RESTORED_THROUGH);
    await new FoundingStore(disk).write({ clusterId: cluster, members });
  }
  return { cluster, ...loaded };
}

async function load(
  folder: string,
  reader: SnapshotReader,
  { bumpRevision, markCompacted }: RestoreOptions,
): Promise<Pick<Restored, 'revision' | 'records' | 'leftOut'>> {
  const store = await openStore({ folder });
  try {
    await reader.header();
    let records = 0;
    let leftOut = 0;
    for await (const page of reader.pages()) {
      store.transaction((transaction) => {
        for (const { key, value } of page) {
          const about = keyOfRecord({ key, value });
          if (about !== undefined && spanIncludes(RESERVED, about)) leftOut++;
          else transaction.put(Buffer.concat([STORE_PREFIX, key]), value);
        }
      });
      records += page.length;
      // A page at a time in memory, however large the file.
      await store.flush();
    }
    const revision = adaptMeta(store, bumpRevision, markCompacted);
    return { revision: revision.toString(), records: records - leftOut, leftOut };
  } finally {
    await store.close();
  }
}

/** Alarms were of members that are no more. */
function adaptMeta(store: Store, bumpRevision: bigint, markCompacted: boolean): bigint {
  const keySpace = new KeySpace(STORE_PREFIX);
  const meta = keySpace.meta(store);
  const revision = meta.revision + bumpRevision;
  const compacted = markCompacted ? revision : meta.compacted;
  store.transaction((transaction) => {
    keySpace.setMeta(transaction, { ...meta, revision, compacted, alarms: [] });
    keySpace.writeMeta(transaction);
    const state = {
      appliedThrough: RESTORED_THROUGH,
      snapshotThrough: RESTORED_THROUGH,
      slot: 0,
      term: NO_BALLOT,
    } as const;
    writeGroupState(transaction, CONSENSUS_GROUP, state);
  });
  return revision;
}

async function exists(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  );
}

/** Of a file its bytes, of a folder its names. */
async function sync(name: string): Promise<void> {
  const handle = await open(name, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
