import { compareBytes, type Entry, type KeyRange } from '@synod/runtime';
import type { BaseSnapshot, StoreBase } from '../lmdb-base';
import type { Memtable } from '../memtable';

/** A base in memory whose writes wait until the test lets them through, or fail. */
export class SlowBase implements StoreBase {
  readonly entries = new Map<string, Buffer>();
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

  snapshot(): BaseSnapshot {
    const copy = new SlowBase(() => false);
    for (const [key, value] of this.entries) copy.entries.set(key, value);
    return { get: (key) => copy.get(key), range: (range) => copy.range(range), close: () => undefined };
  }

  usage(): { readonly fileBytes: number; readonly inUseBytes: number } {
    const inUseBytes = [...this.entries].reduce((sum, [key, value]) => sum + key.length + value.length, 0);
    return { fileBytes: inUseBytes, inUseBytes };
  }

  checkPages(): undefined {}

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
