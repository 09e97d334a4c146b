import { SynodError } from '@synod/runtime';
import type {
  Compare,
  Coordination,
  CoordinationEntry,
  CoordinationEvent,
  Operation,
  TransactionResult,
  WatchHandler,
} from './port';

/** What becomes of a call to a `MemoryCoordination`, so that specs can walk every path of a lossy network. */
export type CallFate =
  | 'answered'
  /** Nothing is done; the caller gets `unavailable`. */
  | 'lost-request'
  /** Done, but the caller gets `outcome-unknown` (`unavailable` for a read). */
  | 'lost-reply';

export type CallName = 'range' | 'transaction' | 'grantLease' | 'keepLeaseAlive' | 'revokeLease';

interface Watcher {
  readonly start: string;
  readonly end: string | undefined;
  readonly handler: WatchHandler;
  nextRevision: bigint;
  scheduled: boolean;
}

interface Lease {
  readonly ttlSeconds: number;
  readonly keys: Set<string>;
}

/**
 * The coordination store in the memory of one process: a double for specs, with etcd's rules (one revision counter, a transaction
 * is one revision, an absent key has every revision 0, a watch loses nothing after its start). Leases last until `expire` is called.
 * Many users may share one: each call is atomic.
 */
export class MemoryCoordination implements Coordination {
  /** Decides what becomes of each call; everything is answered by default. */
  fate: (call: CallName) => CallFate = () => 'answered';

  private revision = 1n;
  private compactedThrough = 0n;
  private readonly entries = new Map<string, CoordinationEntry>();
  private readonly leases = new Map<bigint, Lease>();
  private nextLease = 1n;
  private readonly history: { readonly revision: bigint; readonly events: readonly CoordinationEvent[] }[] = [];
  private readonly watchers = new Set<Watcher>();

  range(key: Buffer, rangeEnd?: Buffer): Promise<{ revision: bigint; entries: readonly CoordinationEntry[] }> {
    return this.call('range', 'unavailable', () => ({ revision: this.revision, entries: this.select(key, rangeEnd) }));
  }

  transaction(request: {
    readonly compare: readonly Compare[];
    readonly success: readonly Operation[];
    readonly failure: readonly Operation[];
  }): Promise<TransactionResult> {
    return this.call('transaction', 'outcome-unknown', () => {
      const succeeded = request.compare.every((compare) => this.holds(compare));
      return { succeeded, ...this.run(succeeded ? request.success : request.failure) };
    });
  }

  grantLease(ttlSeconds: number): Promise<bigint> {
    return this.call('grantLease', 'outcome-unknown', () => {
      const lease = this.nextLease++;
      this.leases.set(lease, { ttlSeconds, keys: new Set() });
      return lease;
    });
  }

  keepLeaseAlive(lease: bigint): Promise<number> {
    return this.call('keepLeaseAlive', 'unavailable', () => this.leases.get(lease)?.ttlSeconds ?? 0);
  }

  revokeLease(lease: bigint): Promise<void> {
    return this.call('revokeLease', 'outcome-unknown', () => this.expire(lease));
  }

  watch(range: { key: Buffer; rangeEnd?: Buffer; startRevision: bigint }, handler: WatchHandler): () => void {
    const watcher: Watcher = {
      start: text(range.key),
      end: range.rangeEnd === undefined ? undefined : text(range.rangeEnd),
      handler,
      nextRevision: range.startRevision,
      scheduled: false,
    };
    this.watchers.add(watcher);
    this.notifyLater(watcher);
    return () => this.watchers.delete(watcher);
  }

  // For specs.

  /** What a node that died leaves behind: its lease runs out, and the keys on it go. */
  expire(lease: bigint): void {
    const keys = [...(this.leases.get(lease)?.keys ?? [])].map((key) => Buffer.from(key, 'latin1'));
    this.leases.delete(lease);
    this.run(keys.map((key) => ({ kind: 'delete' as const, key })));
  }

  /** The leases that live, in the order they were granted. */
  get liveLeases(): bigint[] {
    return [...this.leases.keys()];
  }

  /** Forgets the history through `revision`: watches that have not seen it yet end with `compacted`. */
  compact(revision: bigint): void {
    this.compactedThrough = revision;
    for (const watcher of this.watchers) this.notifyLater(watcher);
  }

  get currentRevision(): bigint {
    return this.revision;
  }

  /** Writes without any comparison. */
  put(key: Buffer, value: Buffer): void {
    this.run([{ kind: 'put', key, value }]);
  }

  remove(key: Buffer): void {
    this.run([{ kind: 'delete', key }]);
  }

  get(key: Buffer): CoordinationEntry | undefined {
    return this.entries.get(text(key));
  }

  private async call<T>(name: CallName, lost: 'unavailable' | 'outcome-unknown', work: () => T): Promise<T> {
    const fate = this.fate(name);
    if (fate === 'lost-request') throw new SynodError('unavailable', `${name} did not reach the coordination store`);
    const result = work();
    if (fate === 'lost-reply') throw new SynodError(lost, `the answer of ${name} was lost`);
    return result;
  }

  private holds(compare: Compare): boolean {
    const entry = this.entries.get(text(compare.key));
    switch (compare.target) {
      case 'create-revision':
        return (entry?.createRevision ?? 0n) === compare.equals;
      case 'mod-revision':
        return (entry?.modRevision ?? 0n) === compare.equals;
      case 'version':
        return (entry?.version ?? 0n) === compare.equals;
    }
  }

  private run(operations: readonly Operation[]): Omit<TransactionResult, 'succeeded'> {
    const next = this.revision + 1n;
    const events: CoordinationEvent[] = [];
    const ranges = operations.map((operation) => {
      switch (operation.kind) {
        case 'range':
          return this.select(operation.key, operation.rangeEnd);
        case 'put':
          events.push({ type: 'put', entry: this.store(operation, next) });
          return [];
        case 'delete':
          for (const entry of this.select(operation.key, operation.rangeEnd)) {
            this.entries.delete(text(entry.key));
            const gone = { ...entry, value: Buffer.alloc(0), modRevision: next, version: 0n };
            events.push({ type: 'delete', entry: gone });
          }
          return [];
      }
    });
    if (events.length > 0) {
      this.revision = next;
      this.history.push({ revision: next, events });
      for (const watcher of this.watchers) this.notifyLater(watcher);
    }
    return { revision: this.revision, ranges };
  }

  private store(put: Extract<Operation, { kind: 'put' }>, revision: bigint): CoordinationEntry {
    const before = this.entries.get(text(put.key));
    const lease = put.lease ?? 0n;
    if (lease !== 0n && !this.leases.has(lease)) throw new SynodError('not-found', `lease ${lease} is gone`);
    const entry: CoordinationEntry = {
      key: put.key,
      value: put.value,
      createRevision: before?.createRevision ?? revision,
      modRevision: revision,
      version: (before?.version ?? 0n) + 1n,
      lease,
    };
    this.leases.get(before?.lease ?? 0n)?.keys.delete(text(put.key));
    this.leases.get(lease)?.keys.add(text(put.key));
    this.entries.set(text(put.key), entry);
    return entry;
  }

  private select(key: Buffer, rangeEnd?: Buffer): CoordinationEntry[] {
    return [...this.entries.values()]
      .filter((entry) => within(text(entry.key), text(key), rangeEnd === undefined ? undefined : text(rangeEnd)))
      .sort((a, b) => a.key.compare(b.key));
  }

  /** Never inside the call that changed something: like a network, the news comes later. */
  private notifyLater(watcher: Watcher): void {
    if (watcher.scheduled) return;
    watcher.scheduled = true;
    void Promise.resolve().then(() => {
      watcher.scheduled = false;
      if (this.watchers.has(watcher)) this.notify(watcher);
    });
  }

  private notify(watcher: Watcher): void {
    if (watcher.nextRevision <= this.compactedThrough) {
      this.watchers.delete(watcher);
      watcher.handler.compacted(this.compactedThrough);
      return;
    }
    for (const { revision, events } of this.history) {
      if (revision < watcher.nextRevision || !this.watchers.has(watcher)) continue;
      watcher.nextRevision = revision + 1n;
      const seen = events.filter(({ entry }) => within(text(entry.key), watcher.start, watcher.end));
      if (seen.length > 0) watcher.handler.events(seen, revision);
    }
  }
}

/** One character per byte, so that strings compare as the bytes do. */
function text(key: Buffer): string {
  return key.toString('latin1');
}

function within(key: string, start: string, end: string | undefined): boolean {
  return end === undefined ? key === start : key >= start && key < end;
}
