import { invariant } from '@synod/invariant';
import type { Caller } from './auth/caller';
import type { CoordinationHost } from './coordination-host';
import {
  deleteRangeRequest,
  putRequest,
  rangeRequest,
  type KeyValue,
  type LeaseId,
  type Revision,
} from './state/requests';
import { prefixRangeEnd, spanOf, type Span } from './state/span';

const POINT = Buffer.alloc(0);

/** A place in a queue: the key that marks it, and the revision that says how far ahead it is. */
export interface Place {
  readonly key: Buffer;
  readonly createRevision: Revision;
  readonly lease: LeaseId;
  /** Of the answer that gave it. */
  readonly revision: Revision;
}

/** The place was given up while its owner waited: the lease ended, or the key was deleted. */
export class PlaceLost extends Error {
  constructor(key: Buffer) {
    super(`the session of ${key.toString()} has ended`);
    this.name = 'PlaceLost';
  }
}

/**
 * Queues under a prefix, one key per waiting lease: whose key was created first owns what the prefix stands for. Locks and elections are
 * both that. Everyone waits for the one just ahead, so that one release wakes one waiter.
 * Source: etcd's client/v3/concurrency (mutex.go, election.go, key.go), after Burrows, "The Chubby Lock Service" (OSDI 2006), §2.4:
 * the create revision is the sequencer with which an owner can be fenced off.
 */
export class Succession {
  constructor(
    private readonly host: CoordinationHost,
    /** With its closing slash. */
    private readonly prefix: Buffer,
    /** With whose rights. */
    private readonly caller: Caller,
  ) {}

  /** Takes a place for a lease, or finds the one it has. */
  async enlist(lease: LeaseId, value: Buffer): Promise<Place & { readonly present: KeyValue | undefined }> {
    const key = Buffer.concat([this.prefix, Buffer.from(BigInt.asUintN(64, lease).toString(16))]);
    const result = await this.host.txn(
      {
        kind: 'txn',
        compare: [{ key, rangeEnd: POINT, target: 'create', result: 'equal', operand: 0n }],
        success: [putRequest(key, value, { lease })],
        failure: [rangeRequest(key, POINT)],
      },
      this.caller,
    );
    const response = result.responses[0];
    const present = response?.kind === 'range' ? response.entries[0] : undefined;
    const createRevision = present?.createRevision ?? result.revision;
    return { key, createRevision, lease, revision: result.revision, present };
  }

  /**
   * Waits until nobody is ahead of a place.
   * @returns a revision at which that was so and the place was there. Invariant `fencing-revision-grows`: above what everyone ahead was given
   * @throws {PlaceLost} if the place itself is gone
   */
  async waitForTurn(place: Place, signal: AbortSignal): Promise<Revision> {
    // Where the place was seen last: watched from further back than a compaction, it would be told of that again and again, and nothing else.
    let seen = place.revision;
    /** At which it was looked last who is ahead. */
    let turn = seen;
    for (;;) {
      signal.throwIfAborted();
      const ahead = await this.lastBefore(place);
      turn = ahead.revision;
      if (ahead.entry === undefined) break;
      const { key } = ahead.entry;
      const deleted = (of: Buffer, after: Revision) => (until: AbortSignal) =>
        this.changed(of, after + 1n, until, (type) => type === 'delete');
      // Whose own lease ends while it waits is told at once, not when it would have been its turn.
      await firstOf(signal, [deleted(key, ahead.revision), deleted(place.key, seen)]);
      seen = await this.requireOwn(place);
    }
    // The lease may have ended meanwhile, or be about to: nothing is granted on a lease that may be gone before its owner hears of it.
    const { remainingSeconds } = await this.host.leases.timeToLive(place.lease, false, this.caller);
    if (remainingSeconds <= 0n) throw new PlaceLost(place.key);
    const held = await this.requireOwn(place);
    // What an owner before was given is a revision at which its key was there, and at `turn` none of theirs was: so each is given a later one.
    invariant(held >= turn, 'fencing-revision-grows', () => `${held} of a turn at ${turn}`);
    return held;
  }

  /** Gives a place up, if it still is the same one. */
  async leave({ key, createRevision }: Place): Promise<void> {
    await this.host.txn(
      {
        kind: 'txn',
        compare: [{ key, rangeEnd: POINT, target: 'create', result: 'equal', operand: createRevision }],
        success: [deleteRangeRequest(key, POINT)],
        failure: [],
      },
      'service',
    );
  }

  /** @returns the revision at which the place was still there */
  private async requireOwn(place: Place): Promise<Revision> {
    const own = await this.host.range(rangeRequest(place.key, POINT), false, this.caller);
    if (own.entries[0]?.createRevision !== place.createRevision) throw new PlaceLost(place.key);
    return own.revision;
  }

  /** Whose key was created first. */
  async owner(): Promise<{ readonly entry: KeyValue | undefined; readonly revision: Revision }> {
    const result = await this.host.range(
      rangeRequest(this.prefix, prefixRangeEnd(this.prefix), { sortTarget: 'create', sortOrder: 'ascend', limit: 1n }),
      false,
      this.caller,
    );
    return { entry: result.entries[0], revision: result.revision };
  }

  /** Every owner and every value of its key, from the present one on. One that was replaced before it was seen may be missing. */
  async *owners(
    signal: AbortSignal,
  ): AsyncGenerator<{ readonly entry: KeyValue; readonly revision: Revision }, void, undefined> {
    while (!signal.aborted) {
      const { entry, revision } = await this.owner();
      // From behind this read on: what the entry itself says may lie before a compaction.
      if (entry === undefined) await this.enlisted(revision + 1n, signal);
      else {
        yield { entry, revision };
        await this.changed(entry.key, revision + 1n, signal, () => true);
      }
    }
  }

  /** Resolves at the first change of a key at `fromRevision` or later that counts; at once if that can no longer be told. */
  private changed(
    key: Buffer,
    fromRevision: Revision,
    signal: AbortSignal,
    counts: (type: 'put' | 'delete') => boolean,
  ): Promise<void> {
    return this.event(spanOf(key, POINT), fromRevision, signal, counts);
  }

  /** Resolves when someone takes a place at `fromRevision` or later. */
  private enlisted(fromRevision: Revision, signal: AbortSignal): Promise<void> {
    return this.event(spanOf(this.prefix, prefixRangeEnd(this.prefix)), fromRevision, signal, (type) => type === 'put');
  }

  private event(
    span: Span,
    startRevision: Revision,
    signal: AbortSignal,
    counts: (type: 'put' | 'delete') => boolean,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (settle: () => void): void => {
        watch.cancel();
        signal.removeEventListener('abort', abort);
        settle();
      };
      const abort = (): void => done(() => reject(signal.reason as Error));
      const watch = this.host.watches.watch(
        { span, startRevision, withoutPuts: false, withoutDeletes: false, previous: false },
        {
          deliver: (events) => {
            if (events.some(({ type }) => counts(type))) done(resolve);
            return true;
          },
          compacted: () => done(resolve),
        },
      );
      signal.addEventListener('abort', abort);
      if (signal.aborted) abort();
    });
  }

  private async lastBefore(place: Place): Promise<{ entry: KeyValue | undefined; revision: Revision }> {
    const result = await this.host.range(
      rangeRequest(this.prefix, prefixRangeEnd(this.prefix), {
        sortTarget: 'create',
        sortOrder: 'descend',
        limit: 1n,
        maxCreateRevision: place.createRevision - 1n,
      }),
      false,
      this.caller,
    );
    return { entry: result.entries[0], revision: result.revision };
  }
}

/** Waits for the first of several things, and gives up the others. */
async function firstOf(signal: AbortSignal, waits: readonly ((until: AbortSignal) => Promise<void>)[]): Promise<void> {
  const settled = new AbortController();
  try {
    await Promise.race(waits.map((wait) => wait(AbortSignal.any([signal, settled.signal]))));
  } finally {
    settled.abort();
  }
}
