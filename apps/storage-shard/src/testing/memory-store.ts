import type { Entry, KeyRange, Store, StoreSnapshot, StoreTransaction } from '@synod/runtime';

/** A store in memory for specs: a sorted list of keys, and a map from each to its value. */
export class MemoryStore implements Store {
  private readonly values = new Map<string, Buffer>();
  private keys: string[] = [];

  get(key: Uint8Array): Buffer | undefined {
    return this.values.get(text(key));
  }

  *range({ start, end, reverse, limit = Infinity }: KeyRange): Iterable<Entry> {
    const within = this.keys.slice(this.position(text(start)), this.position(text(end)));
    for (const key of (reverse === true ? within.reverse() : within).slice(0, limit)) {
      yield { key: Buffer.from(key, 'latin1'), value: this.values.get(key) as Buffer };
    }
  }

  transaction<T>(work: (transaction: StoreTransaction) => T): T {
    const undo: [string, Buffer | undefined][] = [];
    const set = (key: string, value: Buffer | undefined): void => {
      undo.push([key, this.values.get(key)]);
      this.set(key, value);
    };
    try {
      return work({
        get: (key) => this.get(key),
        range: (range) => this.range(range),
        put: (key, value) => set(text(key), Buffer.from(value)),
        remove: (key) => set(text(key), undefined),
      });
    } catch (error) {
      for (const [key, value] of undo.reverse()) this.set(key, value);
      throw error;
    }
  }

  snapshot(): StoreSnapshot {
    const copy = new MemoryStore();
    for (const [key, value] of this.values) copy.set(key, value);
    return { get: (key) => copy.get(key), range: (range) => copy.range(range), release: () => undefined };
  }

  flush(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** Everything, as text: equal texts are equal stores. */
  dump(): string {
    return this.keys.map((key) => `${hex(key)}=${this.values.get(key)?.toString('hex')}`).join('\n');
  }

  private set(key: string, value: Buffer | undefined): void {
    const at = this.position(key);
    if (value === undefined) {
      if (this.values.delete(key)) this.keys.splice(at, 1);
      return;
    }
    if (!this.values.has(key)) this.keys.splice(at, 0, key);
    this.values.set(key, value);
  }

  private position(key: string): number {
    let low = 0;
    let high = this.keys.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.keys[middle] as string) < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function text(key: Uint8Array): string {
  return Buffer.from(key).toString('latin1');
}

function hex(latin1: string): string {
  return Buffer.from(latin1, 'latin1').toString('hex');
}
