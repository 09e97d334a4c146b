import { invariant } from '@synod/invariant';
import type { Cancel, StoreReader, Timers } from '@synod/runtime';
import { entryOf, type KeySpace, type Version } from './state/key-space';
import type { KeyValue, Revision } from './state/requests';
import type { Change, ChangeEvent, VersionPlace } from './state/results';
import { spanIncludes, type Span } from './state/span';

/** What to watch, from where. */
export interface WatchRequest {
  readonly span: Span;
  /** Of the first event to deliver; 0 for what comes from now on. */
  readonly startRevision: Revision;
  readonly withoutPuts: boolean;
  readonly withoutDeletes: boolean;
  /** Deliver what each event replaced, as far as it is not compacted. */
  readonly previous: boolean;
}

export interface WatchedEvent {
  readonly type: 'put' | 'delete';
  readonly entry: KeyValue;
  readonly previous: KeyValue | undefined;
}

/** Where a watch delivers. Never called inside `watch`. */
export interface WatchSink {
  /**
   * Takes all events of one revision.
   * @returns false to be sent nothing more until `resume`; these were taken all the same
   */
  deliver(events: readonly WatchedEvent[], revision: Revision): boolean;
  /** The watch has ended: the history it would go on from was compacted. */
  compacted(revision: Revision): void;
  /** Everything up to the present has been delivered, after it had not. */
  caughtUp?(): void;
}

export interface Watch {
  /** Everything up to the hub's revision has been delivered. */
  readonly caughtUp: boolean;
  /** Everything up to here has been delivered, or was not wanted. */
  readonly through: Revision;
  /** The sink has room again. */
  resume(): void;
  cancel(): void;
}

/** Events looked at in one turn for watches that are behind. */
const CATCH_UP_EVENTS = 1_000;

interface Watcher {
  readonly request: WatchRequest;
  readonly sink: WatchSink;
  /** Everything below is delivered. Invariant `watch-loses-nothing`: grows only past delivered or unwanted events. */
  next: Revision;
  /** Gets changes as they are applied; else it is behind and reads the history. */
  live: boolean;
  /** The sink takes events. */
  ready: boolean;
  cancelled: boolean;
}

/**
 * Delivers changes to watches in the order of the log, on any member, from its own state. A watch whose sink is full is simply
 * behind: the history in the store is its queue, so a slow client costs no memory, and is told when compaction overtakes it.
 * (etcd: mvcc/watchable_store.go, synced and unsynced watchers.)
 */
export class WatchHub {
  private readonly watchers = new Set<Watcher>();
  private cancelCatchUp: Cancel | undefined;
  private now: Revision;

  constructor(
    private readonly keySpace: KeySpace,
    private readonly store: StoreReader,
    private readonly timers: Timers,
  ) {
    this.now = keySpace.meta(store).revision;
  }

  /** The revision up to which live watches have everything. */
  get revision(): Revision {
    return this.now;
  }

  get size(): number {
    return this.watchers.size;
  }

  watch(request: WatchRequest, sink: WatchSink): Watch {
    const next = request.startRevision > 0n ? request.startRevision : this.now + 1n;
    const watcher: Watcher = { request, sink, next, live: next > this.now, ready: true, cancelled: false };
    this.watchers.add(watcher);
    if (!watcher.live) this.catchUpLater();
    return {
      get caughtUp() {
        return watcher.live && !watcher.cancelled;
      },
      get through() {
        return watcher.next - 1n;
      },
      resume: () => {
        watcher.ready = true;
        if (!watcher.live) this.catchUpLater();
      },
      cancel: () => this.end(watcher),
    };
  }

  /** Called with the changes of each store transaction, after it has committed. */
  publish(changes: readonly Change[]): void {
    for (const { revision, events } of changes) {
      invariant(revision === this.now + 1n, 'watch-loses-nothing', () => `${revision} after ${this.now}`);
      this.now = revision;
      const next = revision + 1n;
      for (const watcher of this.watchers) {
        // A watch from a future revision is live, and not there yet.
        if (!watcher.live || revision < watcher.next) continue;
        // Nearly every change is of interest to nearly nobody.
        if (wantsAny(watcher.request, events)) this.deliver(watcher, events, revision);
        else watcher.next = next;
      }
    }
  }

  /**
   * The state is another, of a later revision: a snapshot took its place. Watches go on from its history, or are told that it has been
   * compacted beyond them, as for any watch that is behind.
   */
  reload(): void {
    this.now = this.keySpace.meta(this.store).revision;
    for (const watcher of this.watchers) if (watcher.next <= this.now) watcher.live = false;
    if (this.behind().length > 0) this.catchUpLater();
  }

  stop(): void {
    this.cancelCatchUp?.();
    for (const watcher of this.watchers) this.end(watcher);
  }

  private end(watcher: Watcher): void {
    watcher.cancelled = true;
    this.watchers.delete(watcher);
  }

  private deliver(watcher: Watcher, events: readonly ChangeEvent[], revision: Revision): void {
    const wanted = events.filter((event) => wants(watcher.request, event));
    invariant(revision >= watcher.next, 'watch-loses-nothing', () => `${revision} again, before ${watcher.next}`);
    watcher.next = revision + 1n;
    if (wanted.length === 0) return;
    watcher.ready = watcher.sink.deliver(
      wanted.map((event) => this.watched(event, watcher.request.previous)),
      revision,
    );
    if (!watcher.ready) watcher.live = false;
  }

  private watched({ type, entry, previous }: ChangeEvent, withPrevious: boolean): WatchedEvent {
    const replaced = withPrevious && previous !== undefined ? this.keySpace.version(this.store, previous) : undefined;
    // A key that was deleted before is put anew: it replaces nothing.
    return { type, entry, previous: replaced !== undefined && replaced.version > 0n ? entryOf(replaced) : undefined };
  }

  private catchUpLater(): void {
    this.cancelCatchUp ??= this.timers.after(0, () => {
      this.cancelCatchUp = undefined;
      this.catchUp();
    });
  }

  /** One walk over a stretch of history, from where the watch furthest behind is, for all that are behind and can take events. */
  private catchUp(): void {
    const { compacted } = this.keySpace.meta(this.store);
    for (const watcher of this.behind()) {
      // The events of the compacted revision itself are still there.
      if (watcher.next >= compacted) continue;
      this.end(watcher);
      watcher.sink.compacted(compacted);
    }
    const behind = this.behind();
    const start = behind.reduce<Revision>((least, { next }) => (next < least ? next : least), this.now + 1n);
    const reached = start <= this.now ? this.walk(behind, start) : this.now;
    for (const watcher of behind) {
      if (!watcher.ready || watcher.cancelled || watcher.next > reached + 1n) continue;
      watcher.next = reached + 1n;
      if (reached < this.now) continue;
      watcher.live = true;
      watcher.sink.caughtUp?.();
    }
    if (this.behind().length > 0) this.catchUpLater();
  }

  /** @returns the last revision that was looked at as a whole */
  private walk(watchers: readonly Watcher[], start: Revision): Revision {
    let revision = start;
    let events: ChangeEvent[] = [];
    let seen = 0;
    const deliver = (): void => {
      for (const watcher of watchers) {
        if (watcher.ready && !watcher.cancelled && watcher.next <= revision) this.deliver(watcher, events, revision);
      }
    };
    for (const version of this.keySpace.versionsFrom(this.store, { revision: start, sub: 0 })) {
      if (version.place.revision > revision) {
        deliver();
        if (seen >= CATCH_UP_EVENTS) return revision;
        revision = version.place.revision;
        events = [];
      }
      events.push(eventOf(version));
      seen++;
    }
    deliver();
    return this.now;
  }

  private behind(): Watcher[] {
    return [...this.watchers].filter((watcher) => !watcher.live && watcher.ready);
  }
}

function wants({ span, withoutPuts, withoutDeletes }: WatchRequest, { type, entry }: ChangeEvent): boolean {
  return !(type === 'put' ? withoutPuts : withoutDeletes) && spanIncludes(span, entry.key);
}

function wantsAny(request: WatchRequest, events: readonly ChangeEvent[]): boolean {
  for (const event of events) if (wants(request, event)) return true;
  return false;
}

function eventOf(version: Version): ChangeEvent {
  const previous: VersionPlace | undefined = version.previous;
  return { type: version.version > 0n ? 'put' : 'delete', entry: entryOf(version), previous };
}
