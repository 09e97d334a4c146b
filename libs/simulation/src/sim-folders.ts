import type { Draws } from './draw';
import { type SimFile, type Mood } from './sim-file';

export type Entry = SimFile | Folder;

/** A folder: the names in it as processes see them, and as a power cut would leave them. */
export class Folder {
  readonly kind = 'folder';
  seen = new Map<string, Entry>();
  readonly durable = new Map<string, Entry>();
}

/** One call's changes of names, atomic; it becomes durable when any of its folders is synced, as a journalling file system does it. */
interface NameChange {
  readonly seq: number;
  readonly names: readonly { readonly folder: Folder; readonly name: string; readonly entry: Entry | undefined }[];
}

/** The tree of names on one disk. Creations, renames and removals are forgotten by a power cut unless their folder was synced. */
export class FolderTree {
  readonly root = new Folder();
  private pending: NameChange[] = [];
  private seq = 0;

  /** What is at a path, if anything. */
  find(parts: readonly string[]): Entry | undefined {
    let entry: Entry | undefined = this.root;
    for (const part of parts) entry = entry instanceof Folder ? entry.seen.get(part) : undefined;
    return entry;
  }

  folder(parts: readonly string[]): Folder | undefined {
    const entry = this.find(parts);
    return entry instanceof Folder ? entry : undefined;
  }

  /** Gives names to entries, or takes them away, in one atomic change. */
  change(names: NameChange['names']): void {
    for (const { folder, name, entry } of names) set(folder.seen, name, entry);
    this.pending.push({ seq: ++this.seq, names });
  }

  mark(): number {
    return this.seq;
  }

  /** A sync of `folder` that began at `mark` is done. */
  synced(folder: Folder, mark: number): void {
    this.pending = this.pending.filter((change) => {
      if (change.seq > mark || !change.names.some((name) => name.folder === folder)) return true;
      settle(change);
      return false;
    });
  }

  /** What is left after the power came back. `fileMood` says how each surviving file fares. */
  crash(mood: Mood, fate: Draws, fileMood: () => Mood): void {
    for (const change of this.pending) {
      if (mood === 'keep' || (mood !== 'drop' && fate.chance(1, 2))) settle(change);
    }
    this.pending = [];
    restore(this.root, fate, fileMood);
  }
}

function settle(change: NameChange): void {
  for (const { folder, name, entry } of change.names) set(folder.durable, name, entry);
}

function restore(folder: Folder, fate: Draws, fileMood: () => Mood): void {
  folder.seen = new Map(folder.durable);
  for (const entry of folder.seen.values()) {
    if (entry instanceof Folder) restore(entry, fate, fileMood);
    else entry.crash(fileMood(), fate);
  }
}

function set(names: Map<string, Entry>, name: string, entry: Entry | undefined): void {
  if (entry === undefined) names.delete(name);
  else names.set(name, entry);
}
