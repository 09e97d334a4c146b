import type { Entry, StoreSnapshot } from '@synod/runtime';
import type { KeySpace, Meta, Version } from './state/key-space';

/** What is read in one turn of the event loop: a few milliseconds. */
const PAGE_ENTRIES = 500;
const PAGE_BYTES = 256 * 1024;

/** The state of a member at one moment, read in pages, with the event loop free for others between them. */
export class StateSnapshot {
  readonly meta: Meta;

  constructor(
    readonly keySpace: KeySpace,
    readonly reader: StoreSnapshot,
    /** Resolves in a later turn. */
    private readonly pause: () => Promise<void>,
  ) {
    this.meta = keySpace.meta(reader);
  }

  /** Every record of the state as it lies in the store, in key order. */
  records(): AsyncGenerator<Entry[]> {
    return this.pages(this.keySpace.records(this.reader, START), ({ key, value }) => key.length + value.length);
  }

  /** Every version that is kept, in the order they were made. */
  history(): AsyncGenerator<Version[]> {
    const everything = this.keySpace.versionsFrom(this.reader, { revision: 0n, sub: 0 });
    return this.pages(everything, ({ key, value }) => key.length + value.length);
  }

  release(): void {
    this.reader.release();
  }

  private async *pages<T>(items: Iterable<T>, sizeOf: (item: T) => number): AsyncGenerator<T[]> {
    let page: T[] = [];
    let bytes = 0;
    for (const item of items) {
      page.push(item);
      bytes += sizeOf(item);
      if (page.length < PAGE_ENTRIES && bytes < PAGE_BYTES) continue;
      yield page;
      page = [];
      bytes = 0;
      await this.pause();
    }
    if (page.length > 0) yield page;
  }
}

const START = Buffer.alloc(0);
