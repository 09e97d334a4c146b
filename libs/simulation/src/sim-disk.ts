import {
  compareBytes,
  diskFolderParts,
  diskNameParts,
  type Disk,
  type DiskFile,
  type OpenOptions,
} from '@synod/runtime';
import type { Draws } from './draw';
import type { Owner } from './event-heap';
import { asError } from './failure';
import { SimFile, type Mood } from './sim-file';
import { Folder, FolderTree } from './sim-folders';
import type { CrashKind, Incarnation } from './sim-node';
import type { World } from './world';

/** What a call does; its time differs. */
export type DiskWork = 'read' | 'write' | 'sync';

/** A call under way: the kernel may or may not have done it when the process dies. */
interface Call {
  readonly work: DiskWork;
  readonly effect: () => void;
}

/** What becomes of what a failed sync was to write, drawn once it has failed. */
type Forget = (mood: Mood, fate: Draws) => void;

const MOODS: readonly Mood[] = ['keep', 'drop', 'torn-tail', 'each-by-chance'];

/**
 * The data folder of one machine; outlives every incarnation of its node. Each call ends in an event of its own, after its own drawn
 * time, so that calls in flight together finish in any order. Takes effect when it ends, like the worst of kernels.
 *
 * A killed process leaves its page cache behind; a power cut leaves of everything unsynced any subset of its sectors, some garbled
 * (as turmoil and FoundationDB's AsyncFileNonDurable do). Nothing that a completed sync covers is ever harmed.
 */
export class SimDisk {
  private tree = new FolderTree();
  private readonly inFlight = new Set<Call>();
  private readonly owner: Owner;
  private readonly times: Draws;
  private readonly fate: Draws;
  private readonly failures = new Map<
    DiskWork,
    { readonly code: string; readonly failed: (isForgotten: boolean) => void }
  >();
  /** Added to the mean time of every sync while the nemesis slows the disk. */
  private slowUs = 0;

  constructor(
    readonly world: World,
    id: number,
    private readonly name: string,
  ) {
    this.owner = { id, state: 'running' };
    this.times = world.draws('disk', name);
    this.fate = world.draws('disk-fate', name);
  }

  /** Slows every sync by an exponential time of this mean; 0 ends it. */
  slow(meanUs: number): void {
    this.slowUs = meanUs;
  }

  /**
   * Lets the next call of a kind reject with an operating system's error code (`ENOSPC`, `EIO`); it takes no effect. After a sync of a file the kernel
   * mostly takes the pages for clean, though they may be in its cache alone (ext4 and XFS do): see `SimFile.forget`.
   * @param failed called when that has come, and whether they are
   */
  failNext(work: DiskWork, code: string, failed: (isForgotten: boolean) => void = () => undefined): void {
    this.failures.set(work, { code, failed });
  }

  /** Whatever has not failed yet will not. */
  mend(): void {
    this.failures.clear();
  }

  /** The port of one process; it goes dead with it. */
  port(inc: Incarnation): Disk {
    return new DiskPort(this, inc);
  }

  crash(kind: CrashKind): void {
    // The kernel had begun some of the calls, and finishes what it began before the process is gone.
    for (const call of this.inFlight) if (this.fate.chance(1, 2)) attempt(call.effect);
    this.inFlight.clear();
    if (kind === 'process') return;
    this.tree.crash(this.fate.pick(MOODS), this.fate, () => this.fate.pick(MOODS));
  }

  /** Another disk is put into the machine, an empty one. */
  replace(): void {
    this.tree = new FolderTree();
    this.inFlight.clear();
    this.mend();
  }

  /**
   * Does a call for a process: takes effect and answers after a drawn time, unless the process or the power goes first.
   * @param forget of a sync of a file that may be told to fail
   */
  call<T>(inc: Incarnation, work: DiskWork, effect: () => T, forget?: Forget): Promise<T> {
    if (inc.state === 'dead') return new Promise(() => undefined);
    return new Promise((resolve, reject) => {
      const call: Call = { work, effect: () => void effect() };
      this.inFlight.add(call);
      this.world.schedule(this.drawTimeUs(work), this.owner, () => {
        if (!this.inFlight.delete(call)) return;
        const failure = this.failures.get(work);
        this.failures.delete(work);
        try {
          if (failure !== undefined) {
            const isForgotten = forget !== undefined && this.fate.chance(3, 4);
            if (isForgotten) forget(this.fate.pick(MOODS), this.fate);
            failure.failed(isForgotten);
            throw errno(failure.code, `${work} on ${this.name}`);
          }
          const result = effect();
          inc.deliver(() => resolve(result));
        } catch (error) {
          inc.deliver(() => reject(asError(error)));
        }
      });
    });
  }

  get folders(): FolderTree {
    return this.tree;
  }

  /** Also what a flush of the store costs, which shares the machine's disk. */
  drawTimeUs(work: DiskWork): number {
    const { readMeanUs, writeMeanUs, syncMinUs, syncMeanUs } = this.world.shape.disk;
    if (work === 'read') return 1 + this.times.exponential(readMeanUs);
    if (work === 'write') return 1 + this.times.exponential(writeMeanUs);
    const slowUs = this.slowUs === 0 ? 0 : this.times.exponential(this.slowUs);
    return 1 + syncMinUs + this.times.exponential(syncMeanUs) + slowUs;
  }
}

/** The `Disk` as one process sees it. */
class DiskPort implements Disk {
  constructor(
    private readonly disk: SimDisk,
    private readonly inc: Incarnation,
  ) {}

  async open(name: string, options: OpenOptions = {}): Promise<DiskFile> {
    const { parts, leaf } = splitName(name);
    const { create = false, durable = false } = options;
    return this.disk.call(this.inc, 'write', () => {
      const folder = this.folderOf(parts, name);
      const entry = folder.seen.get(leaf);
      if (entry instanceof Folder) throw errno('EISDIR', name);
      if (entry !== undefined) return new OpenFile(this.disk, this.inc, entry, durable);
      if (!create) throw errno('ENOENT', name);
      const file = new SimFile();
      this.disk.folders.change([{ folder, name: leaf, entry: file }]);
      return new OpenFile(this.disk, this.inc, file, durable);
    });
  }

  async list(folder: string): Promise<string[]> {
    const parts = diskFolderParts(folder);
    return this.disk.call(this.inc, 'read', () => {
      const names = [...(this.disk.folders.folder(parts)?.seen.keys() ?? [])];
      return names.sort((a, b) => compareBytes(Buffer.from(a), Buffer.from(b)));
    });
  }

  async makeFolder(folder: string): Promise<void> {
    const parts = diskFolderParts(folder);
    return this.disk.call(this.inc, 'write', () => {
      let parent = this.disk.folders.root;
      for (const name of parts) {
        let entry = parent.seen.get(name);
        if (entry === undefined) {
          entry = new Folder();
          this.disk.folders.change([{ folder: parent, name, entry }]);
        }
        if (!(entry instanceof Folder)) throw errno('EEXIST', folder);
        parent = entry;
      }
    });
  }

  async remove(name: string): Promise<void> {
    const { parts, leaf } = splitName(name);
    return this.disk.call(this.inc, 'write', () => {
      const folder = this.folderOf(parts, name);
      const entry = folder.seen.get(leaf);
      if (entry === undefined) throw errno('ENOENT', name);
      if (entry instanceof Folder) throw errno('EISDIR', name);
      this.disk.folders.change([{ folder, name: leaf, entry: undefined }]);
    });
  }

  async rename(from: string, to: string): Promise<void> {
    const [source, target] = [splitName(from), splitName(to)];
    return this.disk.call(this.inc, 'write', () => {
      const [before, after] = [this.folderOf(source.parts, from), this.folderOf(target.parts, to)];
      const entry = before.seen.get(source.leaf);
      if (entry === undefined) throw errno('ENOENT', from);
      if (entry instanceof Folder || after.seen.get(target.leaf) instanceof Folder) throw errno('EISDIR', from);
      if (before === after && source.leaf === target.leaf) return;
      this.disk.folders.change([
        { folder: before, name: source.leaf, entry: undefined },
        { folder: after, name: target.leaf, entry },
      ]);
    });
  }

  async syncDirectory(folder: string): Promise<void> {
    const parts = diskFolderParts(folder);
    const mark = this.disk.folders.mark();
    return this.disk.call(this.inc, 'sync', () => {
      const synced = this.disk.folders.folder(parts);
      if (synced === undefined) throw errno('ENOENT', folder);
      this.disk.folders.synced(synced, mark);
    });
  }

  private folderOf(parts: readonly string[], name: string): Folder {
    const folder = this.disk.folders.folder(parts);
    if (folder === undefined) throw errno('ENOENT', name);
    return folder;
  }
}

/** An opening of a file by one process. */
class OpenFile implements DiskFile {
  private open = true;

  constructor(
    private readonly disk: SimDisk,
    private readonly inc: Incarnation,
    private readonly file: SimFile,
    private readonly durable: boolean,
  ) {}

  size(): Promise<number> {
    return this.call('read', () => this.file.size);
  }

  read(offset: number, length: number): Promise<Buffer> {
    return this.call('read', () => this.file.read(offset, length));
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    const copy = Buffer.from(bytes);
    await this.call('write', () => {
      if (copy.length > 0) this.file.write(offset, copy);
    });
    if (this.durable) await this.sync();
  }

  truncate(size: number): Promise<void> {
    return this.call('write', () => this.file.truncate(size));
  }

  sync(): Promise<void> {
    const mark = this.file.mark();
    const forget: Forget = (mood, fate) => this.file.forget(mark, mood, fate);
    return this.call('sync', () => this.file.synced(mark), forget);
  }

  close(): Promise<void> {
    return this.call('read', () => {
      this.open = false;
    });
  }

  private call<T>(work: DiskWork, effect: () => T, forget?: Forget): Promise<T> {
    if (!this.open) return Promise.reject(errno('EBADF', 'the file is closed'));
    return this.disk.call(this.inc, work, effect, forget);
  }
}

function splitName(name: string): { readonly parts: string[]; readonly leaf: string } {
  const parts = diskNameParts(name);
  return { leaf: parts[parts.length - 1] as string, parts: parts.slice(0, -1) };
}

function errno(code: string, what: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: ${what}`), { code });
}

/** A call of a dying process that fails changes nothing, and nobody is left to hear of it. */
function attempt(effect: () => void): void {
  try {
    effect();
  } catch {
    // See above.
  }
}
