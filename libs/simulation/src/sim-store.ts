import { invariant } from '@synod/invariant';
import {
  STORE_KEY_BYTES_MAX,
  SynodError,
  type Entry,
  type KeyRange,
  type Store,
  type StoreReader,
  type StoreSnapshot,
  type StoreTransaction,
} from '@synod/runtime';
import BTree from 'sorted-btree';
import type { Draws } from './draw';
import type { SimDisk } from './sim-disk';
import type { CrashKind, Incarnation } from './sim-node';
import type { World } from './world';

/** Keys as strings of one character per byte: they compare in byte order, fast, and cannot change under the tree. */
type Tree = BTree<string, Buffer>;

/** The store between two transactions. */
interface Boundary {
  readonly version: number;
  readonly tree: Tree;
}

const byCodeUnit = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/**
 * An ordered store on one machine: the in-memory twin of LMDB with a lazy flush. Clones of the tree share their nodes, so remembering
 * a state costs nothing until it is written to.
 */
export class SimStore {
  private tree: Tree = new BTree<string, Buffer>(undefined, byCodeUnit);
  /** Counts commits: a range that is being read must not outlive one. */
  private version = 0;
  /** The state a power cut cannot lose. */
  private flushed: Boundary = { version: 0, tree: this.tree.clone() };
  /** Some later states, of which a power cut may leave any one: pages reach the disk without being asked to. */
  private candidates: Boundary[] = [];
  private readonly fate: Draws;
  private writing = false;

  constructor(
    world: World,
    name: string,
    private readonly disk: SimDisk,
  ) {
    this.fate = world.draws('store-fate', name);
  }

  port(inc: Incarnation): Store {
    return new StorePort(this, inc);
  }

  /** A power cut leaves some state not older than the last flush; so, sometimes, does the end of a process in the midst of its commits. */
  crash(kind: CrashKind): void {
    this.writing = false;
    if (kind === 'process' && this.fate.chance(3, 4)) return;
    this.tree = this.fate.pick([this.flushed, this.boundary(), ...this.candidates]).tree.clone();
    this.version++;
    this.flushed = this.boundary();
    this.candidates = [];
  }

  /** What is in it, for whoever looks on from outside. */
  view(): StoreReader {
    return { get: (key) => this.get(textOf(key)), range: (range) => this.range(range) };
  }

  /** What was on a disk that is no longer in the machine is gone. */
  replace(): void {
    this.tree = new BTree<string, Buffer>(undefined, byCodeUnit);
    this.version++;
    this.flushed = this.boundary();
    this.candidates = [];
  }

  get(key: string): Buffer | undefined {
    const value = this.tree.get(key);
    return value === undefined ? undefined : Buffer.from(value);
  }

  transaction<T>(work: (transaction: StoreTransaction) => T): T {
    if (this.writing) throw new Error('a transaction inside a transaction');
    const before = this.tree.clone();
    this.writing = true;
    const transaction = new Transaction(this.tree);
    try {
      const result = work(transaction);
      this.version++;
      if (this.fate.chance(1, 16)) this.remember();
      return result;
    } catch (error) {
      this.tree = before;
      throw error;
    } finally {
      transaction.end();
      this.writing = false;
    }
  }

  flush(inc: Incarnation): Promise<void> {
    const boundary = this.boundary();
    return this.disk.call(inc, 'sync', () => {
      // Flushes may finish in another order than they began in; an older one takes nothing back.
      if (boundary.version < this.flushed.version) return;
      this.flushed = boundary;
      this.candidates = this.candidates.filter((candidate) => candidate.version > boundary.version);
    });
  }

  *range(range: KeyRange): Iterable<Entry> {
    const { version } = this;
    for (const entry of entriesOf(this.tree, range)) {
      invariant(version === this.version, 'range-reads-one-version', () => 'a transaction committed under a range');
      yield entry;
      invariant(version === this.version, 'range-reads-one-version', () => 'a transaction committed under a range');
    }
  }

  snapshot(): StoreSnapshot {
    const tree = this.tree.clone();
    let released = false;
    const mustBeOpen = (): void => {
      if (released) throw new Error('the snapshot is released');
    };
    return {
      get: (key) => {
        mustBeOpen();
        const value = tree.get(textOf(key));
        return value === undefined ? undefined : Buffer.from(value);
      },
      range: (range) => {
        mustBeOpen();
        return { [Symbol.iterator]: () => entriesOf(tree, range) };
      },
      release: () => void (released = true),
    };
  }

  private remember(): void {
    this.candidates.push(this.boundary());
    // Some old, some new: an early boundary is as legal as a late one.
    if (this.candidates.length > 8) this.candidates.splice(this.fate.below(8), 1);
  }

  private boundary(): Boundary {
    return { version: this.version, tree: this.tree.clone() };
  }
}

class Transaction implements StoreTransaction {
  private over = false;

  constructor(private readonly tree: Tree) {}

  get(key: Uint8Array): Buffer | undefined {
    this.mustBeOpen();
    const value = this.tree.get(textOf(key));
    return value === undefined ? undefined : Buffer.from(value);
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.mustBeOpen();
    this.tree.set(textOf(key), Buffer.from(value));
  }

  remove(key: Uint8Array): void {
    this.mustBeOpen();
    this.tree.delete(textOf(key));
  }

  range(range: KeyRange): Iterable<Entry> {
    this.mustBeOpen();
    return { [Symbol.iterator]: () => stepsOf(this.tree, range) };
  }

  end(): void {
    this.over = true;
  }

  private mustBeOpen(): void {
    if (this.over) throw new Error('the transaction is over');
  }
}

/** The `Store` as one process sees it. */
class StorePort implements Store {
  private closed = false;

  constructor(
    private readonly store: SimStore,
    private readonly inc: Incarnation,
  ) {}

  get(key: Uint8Array): Buffer | undefined {
    this.mustBeOpen();
    return this.store.get(textOf(key));
  }

  range(range: KeyRange): Iterable<Entry> {
    this.mustBeOpen();
    return { [Symbol.iterator]: () => this.store.range(range)[Symbol.iterator]() };
  }

  transaction<T>(work: (transaction: StoreTransaction) => T): T {
    this.mustBeOpen();
    return this.store.transaction(work);
  }

  snapshot(): StoreSnapshot {
    this.mustBeOpen();
    return this.store.snapshot();
  }

  async flush(): Promise<void> {
    this.mustBeOpen();
    return this.store.flush(this.inc);
  }

  async close(): Promise<void> {
    this.mustBeOpen();
    this.closed = true;
    return this.store.flush(this.inc);
  }

  private mustBeOpen(): void {
    this.inc.mustLive();
    if (this.closed) throw new Error('the store is closed');
  }
}

/** A walk over a tree that does not change. */
function* entriesOf(tree: Tree, { start, end, reverse, limit }: KeyRange): Generator<Entry> {
  const [low, high] = [latin1(start), latin1(end)];
  let left = limit ?? Infinity;
  const pairs = reverse === true ? tree.entriesReversed(high, undefined, true) : tree.entries(low);
  for (const [key, value] of pairs) {
    if (left-- <= 0 || (reverse === true ? key < low : key >= high)) return;
    yield { key: Buffer.from(key, 'latin1'), value: Buffer.from(value) };
  }
}

/** A walk over a tree that changes meanwhile: each step looks for the next key as things then stand. */
function* stepsOf(tree: Tree, { start, end, reverse, limit }: KeyRange): Generator<Entry> {
  const [low, high] = [latin1(start), latin1(end)];
  let at = reverse === true ? high : low;
  let next = reverse === true ? tree.nextLowerPair(at) : tree.getPairOrNextHigher(at);
  for (let left = limit ?? Infinity; left > 0 && next !== undefined; left--) {
    const [key, value] = next;
    if (reverse === true ? key < low : key >= high) return;
    yield { key: Buffer.from(key, 'latin1'), value: Buffer.from(value) };
    at = key;
    next = reverse === true ? tree.nextLowerPair(at) : tree.nextHigherPair(at);
  }
}

/** @throws {SynodError} `invalid-argument` for a key of no or too many bytes */
function textOf(key: Uint8Array): string {
  if (key.length === 0 || key.length > STORE_KEY_BYTES_MAX) {
    throw new SynodError('invalid-argument', `a key has 1 to ${STORE_KEY_BYTES_MAX} bytes, not ${key.length}`);
  }
  return latin1(key);
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}
