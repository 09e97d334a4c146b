import { invariant } from '@synod/invariant';
import type { Key, TxnAttempt } from '@synod/two-phase-commit';

/** A hold on keys in the leader's memory, from before a timestamp is taken until the locks it is for are applied, or not. */
export interface Latch {
  readonly owner: TxnAttempt;
  readonly exclusive: ReadonlySet<Key>;
  readonly shared: ReadonlySet<Key>;
}

/**
 * The keys that the leader is preparing at this moment. A latch is taken on all keys of a request or on none, so latches never wait
 * for each other. They live no longer than the leadership they were taken in: what was proposed under them is then either applied
 * before the next leader serves, or never.
 */
export class Latches {
  private readonly exclusive = new Map<Key, Latch>();
  private readonly shared = new Map<Key, Set<Latch>>();

  /** Who holds one of these keys in a way that excludes this use, if anyone. */
  conflict(exclusive: ReadonlySet<Key>, shared: ReadonlySet<Key>): { key: Key; owner: TxnAttempt } | undefined {
    for (const key of exclusive) {
      const [sharer] = this.shared.get(key) ?? [];
      const holder = this.exclusive.get(key) ?? sharer;
      if (holder !== undefined) return { key, owner: holder.owner };
    }
    for (const key of shared) {
      const holder = this.exclusive.get(key);
      if (holder !== undefined) return { key, owner: holder.owner };
    }
    return undefined;
  }

  acquire(latch: Latch): void {
    invariant(this.conflict(latch.exclusive, latch.shared) === undefined, 'latches-exclude');
    for (const key of latch.exclusive) this.exclusive.set(key, latch);
    for (const key of latch.shared) {
      const holders = this.shared.get(key);
      if (holders === undefined) this.shared.set(key, new Set([latch]));
      else holders.add(latch);
    }
  }

  /** Harmless if the latch is gone already. */
  release(latch: Latch): void {
    for (const key of latch.exclusive) if (this.exclusive.get(key) === latch) this.exclusive.delete(key);
    for (const key of latch.shared) {
      const holders = this.shared.get(key);
      holders?.delete(latch);
      if (holders?.size === 0) this.shared.delete(key);
    }
  }

  /** A key about to be written at a timestamp that nobody knows yet: it may be below any read's. */
  blocksRead(key: Key): boolean {
    return this.exclusive.has(key);
  }

  /** A key in `[start, end)` that blocks reads, if any; without an end, from `start` on. */
  blocksScan(start: Key, end: Key | undefined): Key | undefined {
    for (const key of this.exclusive.keys()) if (key >= start && (end === undefined || key < end)) return key;
    return undefined;
  }

  clear(): void {
    this.exclusive.clear();
    this.shared.clear();
  }
}
