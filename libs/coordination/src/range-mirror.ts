import { SynodError, type Cancel, type Log, type Random, type Timers } from '@synod/runtime';
import type { Coordination, CoordinationEntry, CoordinationEvent } from './port';

const RETRY_MIN_US = 50_000;
const RETRY_MAX_US = 250_000;

/**
 * A local copy of a key range that follows the coordination store: one read, then a watch from the revision after it, and both
 * again when the watch lost its history. The copy lags behind by as long as the network does: what it says is a hint.
 */
export class RangeMirror {
  private readonly byKey = new Map<string, CoordinationEntry>();
  private readonly listeners = new Set<() => void>();
  private loaded = false;
  private closed = false;
  private cancelRetry: Cancel = () => undefined;
  private cancelWatch: Cancel = () => undefined;

  constructor(
    private readonly ports: {
      readonly coordination: Coordination;
      readonly timers: Timers;
      readonly random: Random;
      readonly log: Log;
    },
    private readonly range: { readonly key: Buffer; readonly rangeEnd?: Buffer },
  ) {
    void this.load();
  }

  /** False until the first read is in: an empty copy then says nothing. */
  get ready(): boolean {
    return this.loaded;
  }

  /** In key order. */
  entries(): CoordinationEntry[] {
    return [...this.byKey.values()].sort((a, b) => a.key.compare(b.key));
  }

  get(key: Buffer): CoordinationEntry | undefined {
    return this.byKey.get(key.toString('latin1'));
  }

  /** Called after each change, and once the first read is in. */
  onChange(listener: () => void): Cancel {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Resolves with `find()` as soon as that is not undefined, rejects if it throws; looked at now and after every change. */
  waitFor<T>(find: () => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const look = (): boolean => {
        try {
          const found = this.loaded ? find() : undefined;
          if (found !== undefined) resolve(found);
          return found !== undefined;
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
          return true;
        }
      };
      if (look()) return;
      const cancel = this.onChange(() => {
        if (look()) cancel();
      });
    });
  }

  close(): void {
    this.closed = true;
    this.cancelRetry();
    this.cancelWatch();
    this.listeners.clear();
  }

  private async load(): Promise<void> {
    try {
      const { revision, entries } = await this.ports.coordination.range(this.range.key, this.range.rangeEnd);
      if (this.closed) return;
      this.byKey.clear();
      for (const entry of entries) this.byKey.set(entry.key.toString('latin1'), entry);
      this.loaded = true;
      this.follow(revision + 1n);
      this.changed();
    } catch (error) {
      if (!(error instanceof SynodError)) throw error;
      this.loadLater(error);
    }
  }

  private loadLater(error: SynodError): void {
    if (this.closed) return;
    this.ports.log.debug('metadata could not be read yet; trying again', { error: error.message });
    const delayUs = RETRY_MIN_US + this.ports.random.below(RETRY_MAX_US - RETRY_MIN_US);
    this.cancelRetry = this.ports.timers.after(delayUs, () => void this.load());
  }

  private follow(startRevision: bigint): void {
    this.cancelWatch = this.ports.coordination.watch(
      { ...this.range, startRevision },
      {
        events: (events) => {
          if (this.closed) return;
          for (const event of events) this.take(event);
          this.changed();
        },
        compacted: () => void this.load(),
      },
    );
  }

  private take({ type, entry }: CoordinationEvent): void {
    const key = entry.key.toString('latin1');
    if (type === 'put') this.byKey.set(key, entry);
    else this.byKey.delete(key);
  }

  private changed(): void {
    for (const listener of [...this.listeners]) listener();
  }
}
