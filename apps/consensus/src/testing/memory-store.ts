import type { Entry, KeyRange, Store, StoreSnapshot, StoreTransaction } from '@synod/runtime';
import BTree from 'sorted-btree';

/** A store in memory, for specs: everything is durable at once, and a transaction that throws leaves nothing. */
export class MemoryStore implements Store {
  private tree = new BTree<Buffer, Buffer>(undefined, Buffer.compare);

  get(key: Uint8Array): Buffer | undefined {
    return this.tree.get(asBuffer(key));
  }

  range(range: KeyRange): Iterable<Entry> {
    return walk(this.tree, range);
  }

  transaction<T>(work: (transaction: StoreTransaction) => T): T {
    const draft = this.tree.clone();
    const result = work({
      get: (key) => draft.get(asBuffer(key)),
      range: (range) => walk(draft, range),
      put: (key, value) => void draft.set(Buffer.from(key), Buffer.from(value)),
      remove: (key) => void draft.delete(asBuffer(key)),
    });
    this.tree = draft;
    return result;
  }

  snapshot(): StoreSnapshot {
    const tree = this.tree.clone();
    return {
      get: (key) => tree.get(asBuffer(key)),
      range: (range) => walk(tree, range),
      release: () => undefined,
    };
  }

  flush(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  get size(): number {
    return this.tree.size;
  }
}

function* walk(tree: BTree<Buffer, Buffer>, { start, end, reverse, limit }: KeyRange): Generator<Entry> {
  const found = tree.getRange(asBuffer(start), asBuffer(end));
  if (reverse === true) found.reverse();
  for (const [key, value] of limit === undefined ? found : found.slice(0, limit)) yield { key, value };
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
