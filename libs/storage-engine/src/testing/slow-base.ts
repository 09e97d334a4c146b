import { compareBytes, type Entry, type KeyRange, type StoreSnapshot } from '@synod/runtime';
import type { StoreBase } from '../lmdb-base';
import type { Memtable } from '../memtable';

/** A base in memory whose writes wait until the test lets them through, or fail. */
export class SlowBase implements StoreBase {
  entries = new Map<string, Buffer>();
  /** How many tables each write held. */
  readonly writes: number[] = [];
  private held: { readonly finish: () => void; readonly fail: (error: Error) => void }[] = [];

  /** @param isHeld whether writes wait for `release` */
  constructor(private readonly isHeld: () => boolean) {}

  get(key: Uint8Array): Buffer | undefined {
    const value = this.entries.get(Buffer.from(key).toString('latin1'));
    return value === undefined ? undefined : Buffer.from(value);
  }

  range({ start, end, reverse }: KeyRange): Iterable<Entry> {
    const inside = [...this.entries]
      .map(([key, value]) => ({ key: Buffer.from(key, 'latin1'), value: Buffer.from(value) }))
      .filter(({ key }) => compareBytes(start, key) <= 0 && compareBytes(key, end) < 0)
      .sort((a, b) => compareBytes(a.key, b.key));
    return reverse === true ? inside.reverse() : inside;
  }

  snapshot(): StoreSnapshot {
    const then = new SlowBase(this.isHeld);
    then.entries = new Map(this.entries);
    return {
      get: (key) => then.get(key),
      range: (range) => [...then.range(range)].slice(0, range.limit),
      release: () => undefined,
    };
  }

  async write(tables: readonly Memtable[]): Promise<void> {
    this.writes.push(tables.length);
    if (this.isHeld()) await new Promise<void>((finish, fail) => this.held.push({ finish, fail }));
    for (const table of tables) {
      for (const key of table.keys) {
        const change = table.get(key);
        if (change === 'removed') this.entries.delete(key);
        else if (change !== undefined) this.entries.set(key, change);
      }
    }
  }

  /** Lets the write under way through, and all that follows have their turn. */
  async release(): Promise<void> {
    await settle();
    this.held.shift()?.finish();
    await settle();
  }

  async failWrite(error: Error): Promise<void> {
    await settle();
    this.held.shift()?.fail(error);
    await settle();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** Lets every promise that can settle do so. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 20; i += 1) await Promise.resolve();
}
