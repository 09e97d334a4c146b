import { invariant } from '@synod/invariant';
import type { NodeId } from '@synod/replication';
import { SynodError, type Disk, type Log, type Random, type Timers, type Transport } from '@synod/runtime';
import { replay } from '@synod/wal';
import { WAL_FOLDER } from './data-format';
import { FoundingRound, type Founder } from './founding';
import { FoundingStore } from './founding-store';

/** What lies in a data folder, and must be whole before a member goes on from it. */
export interface FolderContents {
  readonly disk: Disk;
  /** What its member found while it ran, and remembered. */
  readonly noted?: string;
  /** Rejects with `corrupt` if the store is harmed. */
  readonly checkStore: () => Promise<void>;
}

/** A data folder that cannot be gone on from. */
export interface HarmedFolder {
  /** The cluster that it took part in; absent if it never got so far. */
  readonly clusterId: string | undefined;
  /** @throws {SynodError} with the reason if it must stay as it is */
  checkRoomAside(): Promise<void>;
  /** The incarnation that it will have when it is set aside, the same at each start until then: what was asked for by it is not undone by asking again. */
  nameNext(): Promise<string>;
  /**
   * Begins the folder anew under that name: a crash leaves it as it was, or empty.
   * @returns where its contents are now
   */
  setAside(): Promise<string>;
}

export interface ReturnOptions {
  readonly nodeId: NodeId;
  readonly founders: readonly Founder[];
  readonly token?: string;
  readonly folder: HarmedFolder;
  readonly peerTransport: Transport;
  readonly ports: { readonly timers: Timers; readonly random: Random; readonly log: Log };
}

/** Nobody may be there to ask for long: whoever looks at the log finds again why this node does not serve. */
const REMINDER_US = 30_000_000;

/**
 * Looks at everything that a start goes on from, before anything of it is used. (That the store holds other bytes than the log put there, its format
 * cannot tell: for that the members compare their states.)
 * @returns what is harmed, with its place; undefined if nothing is
 * @throws whatever else keeps the folder from being read: a disk that fails (EIO), a later release's files (`failed-precondition`)
 */
export async function findHarm({ disk, noted, checkStore }: FolderContents): Promise<SynodError | undefined> {
  if (noted !== undefined) return new SynodError('corrupt', noted);
  try {
    await new FoundingStore(disk).read();
    await replay({ disk, folder: WAL_FOLDER, onRecord: () => undefined });
    await checkStore();
    return undefined;
  } catch (error) {
    if (error instanceof SynodError && error.kind === 'corrupt') return error;
    throw error;
  }
}

/** @throws {SynodError} with the reason, if the others cannot give back what a folder held, or it must stay as it is */
export async function checkRepairable(founders: readonly Founder[], folder: HarmedFolder): Promise<void> {
  if (founders.length === 1 || folder.clusterId === undefined) {
    throw new SynodError('failed-precondition', 'no other member knows what it held');
  }
  await folder.checkRoomAside();
}

/**
 * A member whose data folder is harmed has the others take it back as a new replica, as one with an empty folder is, and sets aside what it holds.
 * In this order, invariant `taken-back-first`: a majority of the others has agreed, through the log, that the old replica is no more, before a
 * single file moves. So where there is nobody to ask, every folder stays as it is, for whoever has to save what can be saved; and it asks as
 * one who returns to a cluster, so that no new one is founded over the remains (`founding-names-every-disk`).
 *
 * Resolves when the folder is empty and to be started with; waits for the others as long as it takes.
 * @throws {SynodError} `corrupt`, the harm itself, if nobody but this node knows what the folder held, or the others do not want it back
 */
export async function returnFromHarm(harm: SynodError, options: ReturnOptions): Promise<void> {
  const { nodeId, founders, token, folder, peerTransport, ports } = options;
  const { clusterId } = folder;
  await checkRepairable(founders, folder).catch((reason: unknown) => refuse(harm, reason));
  invariant(clusterId !== undefined, 'taken-back-first', () => `${nodeId} has no cluster to come back to`);
  const incarnation = await folder.nameNext();
  const round = new FoundingRound({
    nodeId,
    incarnation,
    founders,
    returnsTo: clusterId,
    ...(token === undefined ? {} : { token }),
    store: { read: () => Promise.resolve(undefined), write: () => Promise.resolve() },
    ports: { ...ports, transport: askingOnly(peerTransport) },
  });
  const stopReminding = remind(harm, clusterId, ports);
  try {
    const { clusterId: takenBackBy, joined } = await round.establish();
    const isTaken = joined?.members.some((member) => member.nodeId === nodeId && member.incarnation === incarnation);
    invariant(takenBackBy === clusterId && isTaken === true, 'taken-back-first', () => `${nodeId} by ${takenBackBy}`);
  } catch (reason) {
    if (reason instanceof SynodError) refuse(harm, reason);
    throw reason;
  } finally {
    stopReminding();
    round.stop();
  }
  const place = await folder.setAside();
  ports.log.warn('taken back as a new replica; set aside what the data folder held, and starts empty', {
    place,
    incarnation,
    harm: harm.message,
  });
}

/** It has nothing to tell: nobody may take it for a founder. */
function askingOnly(transport: Transport): Transport {
  return {
    connect: (protocol, address, handler) => transport.connect(protocol, address, handler),
    serve: () => undefined,
  };
}

function refuse(harm: SynodError, reason: unknown): never {
  throw new SynodError('corrupt', `${harm.message} (not repaired from peers: ${(reason as Error).message})`, {
    cause: reason,
  });
}

/** Names the harm now, and again until it is called off. */
function remind(
  harm: SynodError,
  cluster: string,
  { log, timers }: { readonly log: Log; readonly timers: Timers },
): () => void {
  let cancel = (): void => undefined;
  const say = (): void => {
    log.error('the data folder is harmed; asking the other members to take this node back', {
      harm: harm.message,
      cluster,
    });
    cancel = timers.after(REMINDER_US, say);
  };
  say();
  return () => cancel();
}
