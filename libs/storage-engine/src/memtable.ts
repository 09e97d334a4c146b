import { SortedKeys } from './sorted-keys';

/** What a memtable knows of a key: a value, or that it was removed. */
export type Change = Buffer | 'removed';

/** About what a key costs beside its bytes; keeps a table of many small keys from looking like nothing. */
const BYTES_PER_CHANGE = 100;

/**
 * Changes that are visible and not yet in LMDB, newest per key, in key order. Keys are latin1 strings: see `SortedKeys`.
 * Source: O'Neil et al., "The Log-Structured Merge-Tree", 1996, §2 (the C0 tree); the name is Bigtable's (OSDI 2006, §5.3).
 */
export class Memtable {
  private readonly changes = new Map<string, Change>();
  readonly keys = new SortedKeys();
  /** Of keys and values, about. */
  bytes = 0;
  /** Grows with every change, so that a cursor can tell that its position may be stale. */
  version = 0;

  get size(): number {
    return this.changes.size;
  }

  get(key: string): Change | undefined {
    return this.changes.get(key);
  }

  /** Takes a change over; the buffer is the table's from now on. Returns what it replaces. */
  set(key: string, change: Change): Change | undefined {
    const previous = this.changes.get(key);
    if (previous === undefined) {
      this.keys.add(key);
      this.bytes += key.length + BYTES_PER_CHANGE;
    }
    this.changes.set(key, change);
    this.bytes += valueBytes(change) - valueBytes(previous);
    this.version += 1;
    return previous;
  }

  /** Takes a `set` back, given what it replaced. */
  restore(key: string, previous: Change | undefined): void {
    if (previous !== undefined) {
      this.set(key, previous);
      return;
    }
    this.bytes -= key.length + BYTES_PER_CHANGE + valueBytes(this.changes.get(key));
    this.changes.delete(key);
    this.keys.delete(key);
    this.version += 1;
  }
}

function valueBytes(change: Change | undefined): number {
  return change === undefined || change === 'removed' ? 0 : change.length;
}
