import type { Entry, KeyRange } from '@synod/runtime';
import type { Memtable } from './memtable';

/** Forwards or in reverse, so that one merge serves both. */
interface Direction {
  first(table: Memtable): string | undefined;
  next(table: Memtable, last: string): string | undefined;
  /** Not yet past the far bound. */
  inside(key: string): boolean;
  precedes(a: string, b: string): boolean;
}

function directionOf({ start, end, reverse }: KeyRange): Direction {
  const [from, to] = [latin1(start), latin1(end)];
  if (reverse === true) {
    return {
      first: (table) => table.keys.before(to),
      next: (table, last) => table.keys.before(last),
      inside: (key) => key >= from,
      precedes: (a, b) => a > b,
    };
  }
  return {
    first: (table) => table.keys.atOrAfter(from),
    next: (table, last) => table.keys.after(last),
    inside: (key) => key < to,
    precedes: (a, b) => a < b,
  };
}

/** A place in one table that is being walked while it may still change. */
class TableCursor {
  private seenVersion = -1;
  private candidate: string | undefined;

  constructor(
    readonly table: Memtable,
    private readonly direction: Direction,
  ) {}

  /** The table's key that comes next after `last` as things stand now; undefined past the last one inside. */
  peek(last: string | undefined): string | undefined {
    const { direction, table } = this;
    if (table.version === this.seenVersion && this.candidate !== last) return this.candidate;
    const next = last === undefined ? direction.first(table) : direction.next(table, last);
    this.candidate = next !== undefined && direction.inside(next) ? next : undefined;
    this.seenVersion = table.version;
    return this.candidate;
  }
}

/** A place in what lies below the tables. Takes a step only when one is needed: each may cost a page read. */
class BaseCursor {
  private current: { readonly key: string; readonly entry: Entry } | undefined;
  private isDone = false;

  constructor(private readonly entries: Iterator<Entry>) {}

  peek(): string | undefined {
    if (this.current === undefined && !this.isDone) {
      const next = this.entries.next();
      if (next.done === true) this.isDone = true;
      else this.current = { key: latin1(next.value.key), entry: next.value };
    }
    return this.current?.key;
  }

  /** The entry just peeked at, if it is the one of `key`; the next peek goes on behind it. */
  take(key: string): Entry | undefined {
    if (this.current?.key !== key) return undefined;
    const { entry } = this.current;
    this.current = undefined;
    return entry;
  }

  close(): void {
    this.entries.return?.();
  }
}

/**
 * The entries of a range through layers: where several know a key, the first of them decides.
 * @param tables newest first
 * @param base the entries of the same range in the same direction below all tables; does not change meanwhile
 * @param check called before each step; throws if the walk must not go on
 */
export function* layeredRange(
  tables: readonly Memtable[],
  base: Iterable<Entry>,
  range: KeyRange,
  check: () => void,
): Generator<Entry> {
  const direction = directionOf(range);
  const cursors = tables.map((table) => new TableCursor(table, direction));
  const below = new BaseCursor(base[Symbol.iterator]());
  try {
    let last: string | undefined;
    for (let left = range.limit ?? Infinity; left > 0;) {
      check();
      let key = below.peek();
      let table: Memtable | undefined;
      for (const cursor of cursors) {
        const candidate = cursor.peek(last);
        if (candidate === undefined) continue;
        // Of two tables with the same key the newer came first and stays; the base gives way to any.
        const isNewer = candidate === key && table === undefined;
        if (key !== undefined && !isNewer && !direction.precedes(candidate, key)) continue;
        key = candidate;
        table = cursor.table;
      }
      if (key === undefined) return;
      last = key;
      const entry = entryOf(key, table, below.take(key));
      if (entry === undefined) continue;
      left -= 1;
      yield entry;
    }
  } finally {
    below.close();
  }
}

function entryOf(key: string, table: Memtable | undefined, below: Entry | undefined): Entry | undefined {
  if (table === undefined) return below;
  const change = table.get(key);
  if (change === undefined || change === 'removed') return undefined;
  // A copy, since the table goes on using its own.
  return { key: Buffer.from(key, 'latin1'), value: Buffer.from(change) };
}

/** Bytes as a string of one character each: `<` between two such is unsigned byte order. */
export function latin1(bytes: Uint8Array): string {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return buffer.toString('latin1');
}
