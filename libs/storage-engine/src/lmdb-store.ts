import { invariant } from '@synod/invariant';
import {
  STORE_KEY_BYTES_MAX,
  SynodError,
  type Entry,
  type KeyRange,
  type Store,
  type StoreReader,
  type StoreTransaction,
} from '@synod/runtime';
import { latin1, layeredRange } from './layered-range';
import { LmdbBase } from './lmdb-base';
import { Memtable, type Change } from './memtable';

export interface StoreOptions {
  /** Folder of the operating system; created if missing. One process at a time. */
  readonly folder: string;
  /** Address space for the file, and so the most it can hold before a pause to map more; costs neither memory nor disk. */
  readonly mapBytes?: number;
}

const MAP_BYTES = 64 * 2 ** 30;

/** A memtable this large goes to LMDB without waiting for a flush. Handing it over takes the event loop some milliseconds. */
const TABLE_BYTES_MAX = 1 << 20;
const TABLE_CHANGES_MAX = 2_048;

/**
 * The `Store` over LMDB, with a memtable in front: transactions change memory at once, and whole tables go to LMDB together, written
 * and synced on its own thread. So the event loop never waits for a disk, keys that change often are written once, and LMDB syncs
 * once for many transactions. What a crash takes with the table is in the write-ahead log of whoever needs it.
 *
 * Invariant `tables-hold-whole-transactions`: a table is handed over between transactions and becomes one transaction of LMDB, so
 * that the durable state is always that of some transaction boundary.
 */
export class LmdbStore implements Store {
  /** Changed by transactions. */
  private active = new Memtable();
  /** On its way to LMDB; read through until LMDB shows it. */
  private frozen: Memtable | undefined;
  /** The hand-over of `frozen`. */
  private writing: Promise<void> | undefined;
  /** The hand-over of what is active now, when flushes wait for it behind the one under way. */
  private queued: Promise<void> | undefined;
  private failure: SynodError | undefined;
  private inTransaction = false;
  private isClosed = false;
  /** Counts transactions that changed something: for `range-reads-one-version`. */
  private version = 0;

  constructor(private readonly base: LmdbBase) {}

  /** Of transactions not yet durable, about. The store sets no bound: its host slows down above one. */
  get pendingBytes(): number {
    return this.active.bytes + (this.frozen?.bytes ?? 0);
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
        invariant(this.version === version, 'range-reads-one-version', () => 'a transaction committed between two steps');
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
    const isLarge = this.active.bytes >= TABLE_BYTES_MAX || this.active.size >= TABLE_CHANGES_MAX;
    if (isLarge && this.writing === undefined) this.handOver();
    return result;
  }

  async flush(): Promise<void> {
    this.checkUsable();
    await this.flushed();
  }

  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    try {
      await this.flushed();
    } finally {
      await this.base.close();
    }
  }

  private flushed(): Promise<void> {
    if (this.writing === undefined) return this.active.size === 0 ? Promise.resolve() : this.handOver();
    if (this.active.size === 0) return this.writing;
    this.queued ??= this.writing.then(() => this.handOver());
    return this.queued;
  }

  /** Freezes the active table and writes it. Called between transactions, and not while another is being written. */
  private handOver(): Promise<void> {
    const table = this.active;
    this.active = new Memtable();
    this.frozen = table;
    this.queued = undefined;
    this.writing = this.write(table);
    // Whoever flushes hears of a failure; so does every later call.
    this.writing.catch(() => undefined);
    return this.writing;
  }

  private async write(table: Memtable): Promise<void> {
    try {
      await this.base.write(table);
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      this.failure = new SynodError('outcome-unknown', `the store cannot be written: ${why}`, { cause });
      throw this.failure;
    }
    this.frozen = undefined;
    this.writing = undefined;
  }

  private read(key: Uint8Array): Buffer | undefined {
    const name = keyName(key);
    const change = this.active.get(name) ?? this.frozen?.get(name);
    if (change === undefined) return this.base.get(key);
    return change === 'removed' ? undefined : Buffer.from(change);
  }

  private walk(range: KeyRange, check: () => void): Generator<Entry> {
    const tables = this.frozen === undefined ? [this.active] : [this.active, this.frozen];
    return layeredRange(tables, this.base.range(range), range, check);
  }

  private checkUsable(): void {
    if (this.isClosed) throw new SynodError('unavailable', 'the store is closed');
    if (this.failure !== undefined) throw this.failure;
  }
}

/** Changes the active table in place, remembering how to take it back. */
class LayeredTransaction implements StoreTransaction {
  private readonly undoLog: { readonly key: string; readonly previous: Change | undefined }[] = [];
  private isOpen = true;

  constructor(
    private readonly table: Memtable,
    private readonly reader: StoreReader,
  ) {}

  get changes(): number {
    return this.undoLog.length;
  }

  get(key: Uint8Array): Buffer | undefined {
    this.checkOpen();
    return this.reader.get(key);
  }

  range(range: KeyRange): Iterable<Entry> {
    return this.reader.range(range);
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.change(key, Buffer.from(value));
  }

  remove(key: Uint8Array): void {
    this.change(key, 'removed');
  }

  undo(): void {
    for (const { key, previous } of this.undoLog.reverse()) this.table.restore(key, previous);
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
    this.undoLog.push({ key: name, previous: this.table.set(name, change) });
  }
}

function keyName(key: Uint8Array): string {
  if (key.length === 0 || key.length > STORE_KEY_BYTES_MAX) {
    throw new SynodError('invalid-argument', `a key takes 1 to ${STORE_KEY_BYTES_MAX} bytes, not ${key.length}`);
  }
  return latin1(key);
}

/**
 * Opens the store of a folder, creating it if it is missing.
 * @throws {Error} if LMDB cannot open it
 */
export async function openStore({ folder, mapBytes = MAP_BYTES }: StoreOptions): Promise<LmdbStore> {
  return new LmdbStore(LmdbBase.open(folder, mapBytes));
}
