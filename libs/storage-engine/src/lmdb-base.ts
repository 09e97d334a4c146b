import { open, type RootDatabase, type Transaction } from 'lmdb';
import { STORE_KEY_BYTES_MAX, type Entry, type KeyRange } from '@synod/runtime';
import type { Memtable } from './memtable';
import { checkPagesFrom } from './patrol-step';

/**
 * Keys and values as they are. lmdb-js has the same under the name `binary`, but makes an ArrayBuffer of its own for every key and value
 * read; copies in the pool of `Buffer` halve the work of the garbage collector. They are copies: what lmdb-js hands in is its one
 * buffer for reading, used again by the next read, with a `length` of its own making.
 */
const KEYS = {
  /** @param key as bytes, or as a table has it: one character a byte */
  writeKey(key: Uint8Array | string, target: Buffer, at: number): number {
    if (typeof key === 'string') return at + target.write(key, at, 'latin1');
    target.set(key, at);
    return at + key.length;
  },
  readKey: (source: Buffer, start: number, end: number): Buffer => Buffer.from(source.subarray(start, end)),
};
const VALUES = {
  encode: (value: Buffer): Buffer => value,
  decode: (bytes: Buffer): Buffer => Buffer.from(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)),
};

/** The smallest key there is. */
const FIRST_KEY = Buffer.from([0]);

/** One version of what lies below the memtables. */
export interface BaseSnapshot {
  get(key: Uint8Array): Buffer | undefined;
  range(range: KeyRange): Iterable<Entry>;
  close(): void;
}

/** What lies below the memtables of a store. */
export interface StoreBase {
  get(key: Uint8Array): Buffer | undefined;
  /** All entries of a range, lazily; its limit is for who reads it, since memtables may have removed some of them. */
  range(range: KeyRange): Iterable<Entry>;
  /** The newest committed version, kept readable until it is closed. */
  snapshot(): BaseSnapshot;
  /** Writes all changes of some tables, oldest first, as one transaction. Resolves once they are visible and durable. */
  write(tables: readonly Memtable[]): Promise<void>;
  usage(): { readonly fileBytes: number; readonly inUseBytes: number };
  /** As `LmdbStore.checkPages`. */
  checkPages(from: Buffer | undefined): Buffer | undefined;
  close(): Promise<void>;
}

/**
 * The base over LMDB: one LMDB environment, read at its newest committed version and written in whole memtables.
 * The only place that knows lmdb-js and its ways.
 *
 * It is opened without `overlappingSync` and written through `batch` only. A transaction of lmdb-js on the calling thread syncs
 * there before it returns, whatever its flags say (0.7 ms on the machine of the benchmarks, and as long as the disk likes on
 * others), and `flushed` does not wait for it; a batch is committed and synced by lmdb-js's own thread, data before root, and its
 * promise resolves after that.
 */
export class LmdbBase implements StoreBase {
  private constructor(
    private readonly db: RootDatabase<Buffer, Uint8Array | string>,
    private readonly folder: string,
  ) {}

  static open(folder: string, mapBytes: number): LmdbBase {
    const db = open<Buffer, Uint8Array | string>({
      path: folder,
      name: null as unknown as string,
      noSubdir: false,
      keyEncoder: KEYS,
      encoder: VALUES,
      compression: false,
      cache: false,
      overlappingSync: false,
      mapSize: mapBytes,
    });
    return new LmdbBase(db, folder);
  }

  get(key: Uint8Array): Buffer | undefined {
    return this.db.get(key);
  }

  range(range: KeyRange): Iterable<Entry> {
    return this.walk(range, {});
  }

  snapshot(): BaseSnapshot {
    // Reads share one transaction for a while; this one is of its own, and of the newest version.
    this.db.resetReadTxn();
    const transaction = this.db.useReadTransaction();
    return {
      get: (key) => this.db.get(key, { transaction }),
      range: (range) => this.walk(range, { transaction }),
      close: () => transaction.done(),
    };
  }

  /** Of the file, and of its pages in use. Pages that were freed are used again; the file never shrinks. */
  usage(): { readonly fileBytes: number; readonly inUseBytes: number } {
    const stats = this.db.getStats() as TreeStats & { readonly free: TreeStats; readonly lastPageNumber: number };
    const pages = META_PAGES + treePages(stats) + treePages(stats.free);
    return { fileBytes: (stats.lastPageNumber + 1) * stats.pageSize, inUseBytes: pages * stats.pageSize };
  }

  checkPages(from: Buffer | undefined): Buffer | undefined {
    // While this version can be read, no page of it or of a later one is written over.
    const pinned = this.snapshot();
    try {
      return checkPagesFrom(this.folder, from);
    } finally {
      pinned.close();
    }
  }

  private *walk({ start, end, reverse }: KeyRange, options: { readonly transaction?: Transaction }): Generator<Entry> {
    const [from, to] = [bound(start), bound(end)];
    if (Buffer.compare(from, to) >= 0) return;
    const entries =
      reverse === true
        ? this.db.getRange({
            ...options,
            start: to,
            end: from,
            reverse: true,
            exclusiveStart: true,
            inclusiveEnd: true,
          })
        : this.db.getRange({ ...options, start: from, end: to });
    for (const { key, value } of entries) yield { key: key as Buffer, value };
  }

  async write(tables: readonly Memtable[]): Promise<void> {
    await this.db.batch(() => {
      for (const table of tables) this.put(table);
    });
    // Reads share one snapshot for a while: the next must not see the version before.
    this.db.resetReadTxn();
  }

  /** In key order, which LMDB takes best. */
  private put(table: Memtable): void {
    for (const key of table.keys) {
      const change = table.get(key);
      if (change === 'removed') void this.db.remove(key);
      else if (change !== undefined) void this.db.put(key, change);
    }
  }

  close(): Promise<void> {
    return this.db.close();
  }
}

/** As LMDB counts the pages of a tree. */
interface TreeStats {
  readonly pageSize: number;
  readonly treeBranchPageCount: number;
  readonly treeLeafPageCount: number;
  readonly overflowPages: number;
}

/** LMDB alternates between two roots. */
const META_PAGES = 2;

function treePages({ treeBranchPageCount, treeLeafPageCount, overflowPages }: TreeStats): number {
  return treeBranchPageCount + treeLeafPageCount + overflowPages;
}

/** LMDB takes no bound that is longer than a key can be; cut to one byte more than any key, it still parts the same keys. */
function bound(bytes: Uint8Array): Uint8Array {
  return bytes.length === 0 ? FIRST_KEY : bytes.subarray(0, STORE_KEY_BYTES_MAX + 1);
}
