import { dirname } from 'node:path';
import { invariant } from '@synod/invariant';
import {
  openDisk,
  STORE_KEY_BYTES_MAX,
  SynodError,
  type Entry,
  type KeyRange,
  type Store,
  type StoreReader,
  type StoreSnapshot,
  type StoreTransaction,
} from '@synod/runtime';
import { latin1, layeredRange } from './layered-range';
import { LmdbBase, type BaseSnapshot, type StoreBase } from './lmdb-base';
import { Memtable, type Change } from './memtable';
import { checkStoreFile } from './store-file';

/** Bytes on disk. `inUseBytes` counts what waits to be written as well. */
export interface StoreUsage {
  readonly fileBytes: number;
  readonly inUseBytes: number;
}

export interface StoreOptions {
  /** Folder of the operating system; created if missing. One process at a time. */
  readonly folder: string;
  /** Address space for the file, and so the most it can hold before a pause to map more; costs neither memory nor disk. */
  readonly mapBytes?: number;
}

const MAP_BYTES = 64 * 2 ** 30;

/** A memtable this large is sealed without waiting for a flush. Handing one to LMDB takes the event loop a few milliseconds. */
const TABLE_BYTES_MAX = 1 << 20;
const TABLE_CHANGES_MAX = 2_048;
/** When LMDB falls behind, so many tables share one of its transactions: fewer syncs, and fewer pages written twice. */
const TABLES_TOGETHER_MAX = 4;

/**
 * The `Store` over LMDB, with memtables in front: transactions change memory at once, and whole tables go to LMDB, written and
 * synced on its own thread. So the event loop never waits for a disk, keys that change often are written once, and LMDB syncs
 * once for many transactions. What the end of the process takes with the tables is in the write-ahead log of whoever needs it.
 *
 * Invariant `tables-hold-whole-transactions`: a table is sealed between transactions, and tables go in order, each within one
 * transaction of LMDB, so that the durable state is always that of some transaction boundary.
 */
export class LmdbStore implements Store {
  /** Changed by transactions. */
  private active = new Memtable();
  /** On their way to LMDB, newest first; read through until LMDB shows them. */
  private readonly sealed: Memtable[] = [];
  /** Resolves once every sealed table is in LMDB. Rejects for good if one cannot be written. */
  private written: Promise<void> = Promise.resolve();
  /** Those that are open: LMDB must not be closed under them. */
  private readonly snapshots = new Set<BaseSnapshot>();
  private failure: SynodError | undefined;
  private inTransaction = false;
  private isClosed = false;
  /** Counts transactions that changed something: for `range-reads-one-version`. */
  private version = 0;

  constructor(private readonly base: StoreBase) {}

  /** Of transactions not yet durable, about. The store sets no bound: its host slows down above one. */
  get pendingBytes(): number {
    return this.sealed.reduce((sum, table) => sum + table.bytes, this.active.bytes);
  }

  /** Bytes on disk: of the file, and of what in it holds data. Grows and shrinks as tables are written. */
  usage(): StoreUsage {
    this.checkUsable();
    const { fileBytes, inUseBytes } = this.base.usage();
    const waiting = inUseBytes + this.pendingBytes;
    return { fileBytes: Math.max(fileBytes, waiting), inUseBytes: waiting };
  }

  /**
   * Looks at some pages on disk, as `checkStorePages` does at all of them, while the store is in use: takes the event loop two milliseconds,
   * and as long as the disk needs to give the last of them. What LMDB has not read for long is found so before it stumbles over it.
   * @param from where they begin, as the call before it told; undefined for the first
   * @returns where the next ones begin; undefined after the last
   * @throws {SynodError} `corrupt`, naming file and offset
   * @throws {Error} of the system if the disk does not give a page
   */
  checkPages(from: Buffer | undefined): Buffer | undefined {
    this.checkUsable();
    return this.base.checkPages(from);
  }

  get(key: Uint8Array): Buffer | undefined {
    this.checkUsable();
    return this.read(key);
  }

  range(range: KeyRange): Iterable<Entry> {
    const walk = (): Generator<Entry> => {
      const version = this.version;
      return this.walk(range, () => {
        this.checkUsable();
        invariant(
          this.version === version,
          'range-reads-one-version',
          () => 'a transaction committed between two steps',
        );
      });
    };
    return { [Symbol.iterator]: walk };
  }

  transaction<T>(work: (transaction: StoreTransaction) => T): T {
    this.checkUsable();
    if (this.inTransaction) throw new SynodError('failed-precondition', 'transactions of a store do not nest');
    const transaction = new LayeredTransaction(this.active, {
      get: (key) => this.read(key),
      range: (range) => ({ [Symbol.iterator]: () => this.walk(range, () => transaction.checkOpen()) }),
    });
    this.inTransaction = true;
    let result: T;
    try {
      result = work(transaction);
    } catch (error) {
      transaction.undo();
      throw error;
    } finally {
      transaction.end();
      this.inTransaction = false;
    }
    if (transaction.changes > 0) this.version += 1;
    if (this.active.bytes >= TABLE_BYTES_MAX || this.active.size >= TABLE_CHANGES_MAX) void this.seal();
    return result;
  }

  snapshot(): StoreSnapshot {
    this.checkUsable();
    if (this.inTransaction) throw new SynodError('failed-precondition', 'a transaction of the store is in progress');
    // Sealed tables no longer change. Some may be in the base's version already: they say the same.
    void this.seal();
    const tables = [...this.sealed];
    const base = this.base.snapshot();
    this.snapshots.add(base);
    return {
      get: (key) => {
        this.checkUsable();
        return lookUp(keyName(key), tables, base, key);
      },
      range: (range) => ({
        [Symbol.iterator]: () => layeredRange(tables, base.range(range), range, () => this.checkUsable()),
      }),
      release: () => {
        if (this.snapshots.delete(base)) base.close();
      },
    };
  }

  async flush(): Promise<void> {
    this.checkUsable();
    await this.seal();
  }

  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    for (const snapshot of this.snapshots) snapshot.close();
    this.snapshots.clear();
    try {
      await this.seal();
    } finally {
      await this.base.close();
    }
  }

  /** Ends the active table and queues it for LMDB; resolves once it and all before it are there. Called between transactions. */
  private seal(): Promise<void> {
    if (this.active.size === 0) return this.written;
    const table = this.active;
    this.active = new Memtable();
    this.sealed.unshift(table);
    this.written = this.written.then(() => this.write(table));
    // Whoever flushes hears of a failure, and so does every later call.
    this.written.catch(() => undefined);
    return this.written;
  }

  /** Called with each table once those before it are written: it is the oldest left, or went with one of them. */
  private async write(table: Memtable): Promise<void> {
    if (this.sealed.at(-1) !== table) return;
    const together = this.sealed.slice(-TABLES_TOGETHER_MAX);
    try {
      await this.base.write(together.toReversed());
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      this.failure = new SynodError('outcome-unknown', `the store cannot be written: ${why}`, { cause });
      throw this.failure;
    }
    this.sealed.length -= together.length;
  }

  private read(key: Uint8Array): Buffer | undefined {
    const name = keyName(key);
    const change = this.active.get(name);
    if (change === undefined) return lookUp(name, this.sealed, this.base, key);
    return change === 'removed' ? undefined : Buffer.from(change);
  }

  private walk(range: KeyRange, check: () => void): Generator<Entry> {
    return layeredRange([this.active, ...this.sealed], this.base.range(range), range, check);
  }

  private checkUsable(): void {
    if (this.isClosed) throw new SynodError('unavailable', 'the store is closed');
    if (this.failure !== undefined) throw this.failure;
  }
}

/** Changes the active table in place, remembering how to take it back. */
class LayeredTransaction implements StoreTransaction {
  /** Keys that were changed, in order, and what each change replaced. */
  private readonly changed: string[] = [];
  private readonly replaced: (Change | undefined)[] = [];
  private isOpen = true;

  constructor(
    private readonly table: Memtable,
    private readonly reader: StoreReader,
  ) {}

  get changes(): number {
    return this.changed.length;
  }

  get(key: Uint8Array): Buffer | undefined {
    this.checkOpen();
    return this.reader.get(key);
  }

  range(range: KeyRange): Iterable<Entry> {
    return this.reader.range(range);
  }

  put(key: Uint8Array, value: Uint8Array): void {
    const own = Buffer.allocUnsafe(value.length);
    own.set(value);
    this.change(key, own);
  }

  remove(key: Uint8Array): void {
    this.change(key, 'removed');
  }

  undo(): void {
    for (let i = this.changed.length - 1; i >= 0; i -= 1) this.table.restore(this.changed[i] ?? '', this.replaced[i]);
  }

  end(): void {
    this.isOpen = false;
  }

  checkOpen(): void {
    if (!this.isOpen) throw new SynodError('failed-precondition', 'the transaction is over');
  }

  private change(key: Uint8Array, change: Change): void {
    this.checkOpen();
    const name = keyName(key);
    this.changed.push(name);
    this.replaced.push(this.table.set(name, change));
  }
}

/** Through tables, newest first, and then below them. */
function lookUp(
  name: string,
  tables: readonly Memtable[],
  base: Pick<StoreBase, 'get'>,
  key: Uint8Array,
): Buffer | undefined {
  let change: Change | undefined;
  for (let i = 0; change === undefined && i < tables.length; i += 1) change = tables[i]?.get(name);
  if (change === undefined) return base.get(key);
  return change === 'removed' ? undefined : Buffer.from(change);
}

function keyName(key: Uint8Array): string {
  if (key.length === 0 || key.length > STORE_KEY_BYTES_MAX) {
    throw new SynodError('invalid-argument', `a key takes 1 to ${STORE_KEY_BYTES_MAX} bytes, not ${key.length}`);
  }
  return latin1(key);
}

/**
 * Opens the store of a folder, creating it if it is missing.
 * @throws {SynodError} as `checkStoreFile`
 * @throws {Error} if LMDB cannot open it
 */
export async function openStore({ folder, mapBytes = MAP_BYTES }: StoreOptions): Promise<LmdbStore> {
  checkStoreFile(folder);
  const base = LmdbBase.open(folder, mapBytes);
  // LMDB syncs its file and leaves it to us that the file can be found.
  await openDisk(folder).syncDirectory('');
  await openDisk(dirname(folder)).syncDirectory('');
  return new LmdbStore(base);
}
