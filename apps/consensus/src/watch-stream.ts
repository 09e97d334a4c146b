import { invariant } from '@synod/invariant';
import type { Cancel, Random, Timers } from '@synod/runtime';
import { DEFAULT_REQUEST_LIMITS } from './state/request-check';
import type { Revision } from './state/requests';
import { spanOf, type Span } from './state/span';
import type { Watch, WatchedEvent, WatchHub } from './watch-hub';

/** What a client says on its watch stream. */
export type WatchStreamRequest =
  | {
      readonly kind: 'create';
      readonly key: Buffer;
      readonly rangeEnd: Buffer;
      /** 0n for one of the server's choice. */
      readonly watchId: bigint;
      readonly startRevision: Revision;
      readonly withoutPuts: boolean;
      readonly withoutDeletes: boolean;
      readonly previous: boolean;
      /** Say now and then how far the store is, while nothing happens. */
      readonly progressNotify: boolean;
      /** Split responses that are larger than requests may be. */
      readonly fragment: boolean;
    }
  | { readonly kind: 'cancel'; readonly watchId: bigint }
  /** Say how far the store is, once everything up to there is delivered. */
  | { readonly kind: 'progress' };

export interface WatchStreamResponse {
  readonly watchId: bigint;
  readonly revision: Revision;
  readonly created?: true;
  readonly canceled?: true;
  readonly cancelReason?: string;
  readonly compactRevision?: Revision;
  /** More events of the same revision follow. */
  readonly fragment?: true;
  readonly events?: readonly WatchedEvent[];
}

/** The client's end. `send` returns false if nothing was sent; `drained` resolves when there is room, or the client is gone. */
export interface WatchStreamWriter {
  send(response: WatchStreamResponse): boolean;
  drained(): Promise<void>;
}

/** In answers about no single watch, or about one that was not made. */
const NO_WATCH = -1n;
/** Larger responses are split for clients that ask for it: as with etcd, what a request may have and half a megabyte. */
const FRAGMENT_ROOM_BYTES = 512 * 1024;
const PROGRESS_US = 600_000_000;
const PROGRESS_JITTER_US = 60_000_000;

interface Open {
  readonly watch: Watch;
  readonly key: Buffer;
  readonly rangeEnd: Buffer;
  readonly progressNotify: boolean;
  /** Something was delivered since the last periodic progress: the client knows how far the store is. */
  informed: boolean;
}

/**
 * One client's stream of many watches. Everything leaves in order: that a watch was made before its events, progress only after
 * what it covers. When the client does not keep up, its watches fall behind in the hub and at most one response of each waits here.
 */
export class WatchStream {
  private readonly watches = new Map<bigint, Open>();
  private readonly outbox: WatchStreamResponse[] = [];
  private nextId = 0n;
  private progressAsked = false;
  private draining: Promise<void> | undefined;
  private closed = false;
  private cancelProgress: Cancel | undefined;

  constructor(
    private readonly hub: WatchHub,
    private readonly writer: WatchStreamWriter,
    private readonly ports: { readonly timers: Timers; readonly random: Random },
    private readonly requestBytesMax = DEFAULT_REQUEST_LIMITS.requestBytesMax,
  ) {}

  /** Takes one request. Resolves when the next one may come: a client that does not read is not listened to either. */
  async receive(request: WatchStreamRequest): Promise<void> {
    switch (request.kind) {
      case 'create':
        this.create(request);
        break;
      case 'cancel':
        this.cancel(request.watchId);
        break;
      case 'progress':
        this.progressAsked = true;
        this.answerProgress();
    }
    await this.draining;
  }

  /** Answers a request for a watch that is not made. */
  refuse(cancelReason: string): void {
    this.send({ watchId: NO_WATCH, revision: this.hub.revision, created: true, canceled: true, cancelReason });
  }

  /** Ends the watches of ranges for which there is a reason to. */
  cancelWhere(reasonFor: (key: Buffer, rangeEnd: Buffer) => string | undefined): void {
    for (const [watchId, { key, rangeEnd }] of [...this.watches]) {
      const reason = reasonFor(key, rangeEnd);
      if (reason !== undefined) this.cancel(watchId, reason);
    }
  }

  /** Ends every watch, saying why, and answers nothing more. */
  cancelAll(reason: string): void {
    for (const watchId of [...this.watches.keys()]) this.cancel(watchId, reason);
    this.close();
  }

  close(): void {
    this.closed = true;
    this.cancelProgress?.();
    for (const { watch } of this.watches.values()) watch.cancel();
    this.watches.clear();
  }

  private create(request: WatchStreamRequest & { readonly kind: 'create' }): void {
    const { revision } = this.hub;
    const watchId = request.watchId === 0n ? this.freeId() : request.watchId;
    const key = watchedKey(request);
    const { rangeEnd } = request;
    const span = watchedSpan(key, rangeEnd);
    const refusal = this.watches.has(watchId)
      ? 'mvcc: duplicate watch ID provided on the WatchStream'
      : span === undefined
        ? 'mvcc: watcher range is empty'
        : undefined;
    if (refusal !== undefined || span === undefined) return this.refuse(refusal ?? '');
    this.send({ watchId, revision, created: true });
    const watch = this.hub.watch(
      { ...request, span },
      {
        deliver: (events, at) => this.deliver(watchId, events, at, request.fragment),
        compacted: (compactRevision) => this.compacted(watchId, compactRevision),
        caughtUp: () => this.answerProgress(),
      },
    );
    this.watches.set(watchId, { watch, key, rangeEnd, progressNotify: request.progressNotify, informed: true });
    if (request.progressNotify) this.notifyProgressLater();
  }

  private deliver(watchId: bigint, events: readonly WatchedEvent[], revision: Revision, split: boolean): boolean {
    const open = this.watches.get(watchId);
    if (open !== undefined) open.informed = true;
    const parts = split ? fragments(events, this.requestBytesMax + FRAGMENT_ROOM_BYTES) : [events];
    parts.forEach((part, index) => {
      const response = { watchId, revision, events: part };
      this.send(index < parts.length - 1 ? { ...response, fragment: true } : response);
    });
    return this.outbox.length === 0;
  }

  private compacted(watchId: bigint, compactRevision: Revision): void {
    this.watches.delete(watchId);
    this.send({ watchId, revision: this.hub.revision, canceled: true, compactRevision });
  }

  private cancel(watchId: bigint, cancelReason = ''): void {
    const open = this.watches.get(watchId);
    if (open === undefined) return;
    open.watch.cancel();
    this.watches.delete(watchId);
    this.send({ watchId, revision: this.hub.revision, canceled: true, cancelReason });
  }

  private answerProgress(): void {
    if (!this.progressAsked || this.closed || !this.caughtUp()) return;
    this.progressAsked = false;
    this.sendProgress(NO_WATCH);
  }

  /** Invariant `progress-after-events`: says only what every watch of this stream has been sent. */
  private sendProgress(watchId: bigint): void {
    const { revision } = this.hub;
    for (const [id, { watch }] of this.watches) {
      invariant(
        watch.through >= revision,
        'progress-after-events',
        () => `${revision}, watch ${id} at ${watch.through}`,
      );
    }
    this.send({ watchId, revision });
  }

  private caughtUp(): boolean {
    return this.outbox.length === 0 && [...this.watches.values()].every(({ watch }) => watch.caughtUp);
  }

  private notifyProgressLater(): void {
    const delayUs = PROGRESS_US + this.ports.random.below(PROGRESS_JITTER_US);
    this.cancelProgress ??= this.ports.timers.after(delayUs, () => {
      this.cancelProgress = undefined;
      for (const [watchId, open] of this.watches) {
        if (!open.progressNotify) continue;
        if (!open.informed && this.caughtUp()) this.sendProgress(watchId);
        open.informed = false;
      }
      this.notifyProgressLater();
    });
  }

  private freeId(): bigint {
    while (this.watches.has(this.nextId)) this.nextId++;
    return this.nextId++;
  }

  private send(response: WatchStreamResponse): void {
    if (this.closed) return;
    if (this.outbox.length === 0 && this.writer.send(response)) return;
    this.outbox.push(response);
    this.draining ??= this.drain();
  }

  private async drain(): Promise<void> {
    while (this.outbox.length > 0 && !this.closed) {
      await this.writer.drained();
      while (this.outbox[0] !== undefined && !this.closed && this.writer.send(this.outbox[0])) this.outbox.shift();
    }
    this.draining = undefined;
    for (const { watch } of this.watches.values()) watch.resume();
    this.answerProgress();
  }
}

/** Where a watch begins: without a key, at the first one there can be. */
export function watchedKey({ key }: WatchStreamRequest & { readonly kind: 'create' }): Buffer {
  return key.length === 0 ? Buffer.from([0]) : key;
}

/** @returns undefined if the range can hold no key */
function watchedSpan(key: Buffer, rangeEnd: Buffer): Span | undefined {
  const span = spanOf(key, rangeEnd);
  return span.end !== undefined && Buffer.compare(span.start, span.end) >= 0 ? undefined : span;
}

/** Runs of events that each stay under the bound where they can. */
function fragments(events: readonly WatchedEvent[], bytesMax: number): WatchedEvent[][] {
  const parts: WatchedEvent[][] = [[]];
  let size = 0;
  for (const event of events) {
    const bytes = sizeOf(event);
    if (size > 0 && size + bytes > bytesMax) {
      parts.push([]);
      size = 0;
    }
    parts.at(-1)?.push(event);
    size += bytes;
  }
  return parts;
}

function sizeOf({ entry, previous }: WatchedEvent): number {
  return entry.key.length + entry.value.length + (previous?.value.length ?? 0) + 64;
}
