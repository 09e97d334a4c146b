import { TRANSACTION_BYTES_MAX, type StorageRequest, type StorageResponse } from '@synod/protocols';
import { SynodError, type Clock, type Probes } from '@synod/runtime';
import type { ScanPage } from '@synod/storage-engine';
import { txnName, type Key, type Lock, type Timestamp } from '@synod/two-phase-commit';
import { keyText, printableKey } from '../state/key-text';
import type { ShardRows } from '../state/shard-rows';
import type { KeyWaiters } from './key-waiters';
import type { Latches } from './latches';
import type { Leadership } from './leadership';
import { invalid } from './limits';
import type { ShardHostOptions } from './options';
import type { Recovery } from './recovery';

type Read = StorageRequest & { kind: 'read' };
type Scan = StorageRequest & { kind: 'scan' };

/** A key that may get a version at or below the reader's timestamp. No lock: its timestamp is not known yet. */
interface Blocker {
  readonly key: Key;
  readonly lock: Lock | undefined;
}

/** Between looks at what blocks a read, at most. */
const LOOK_AGAIN_MAX_US = 250_000;

/**
 * Reads at a timestamp, at the leader: they see every transaction that commits at or below it, and wait for those that may.
 * Why that is all of them: a writer's timestamp is taken after its latch, so one that this read found neither latched nor as an
 * intent will get a timestamp above the reader's, which was issued before the read came.
 */
export class ShardReads {
  constructor(
    private readonly rows: ShardRows,
    private readonly leadership: Leadership,
    private readonly latches: Latches,
    private readonly waiters: KeyWaiters,
    private readonly recovery: Recovery,
    private readonly options: ShardHostOptions,
    private readonly ports: { readonly clock: Clock; readonly probes: Probes },
  ) {}

  /** @throws {SynodError} `not-leader`; `unavailable` if a writer stayed in doubt for too long */
  async read({ keys, readTs }: Read): Promise<StorageResponse> {
    await this.unblocked(() => this.keyBlockers(keys, readTs));
    let bytes = 0;
    const values = keys.map((key) => {
      const found = this.rows.readAt(key, readTs);
      bytes += found?.value?.length ?? 0;
      return { value: found?.value, version: found?.version ?? 0n };
    });
    if (bytes > TRANSACTION_BYTES_MAX)
      throw invalid(`keys hold ${bytes} bytes: at most ${TRANSACTION_BYTES_MAX} are read at once`);
    return { kind: 'read', values };
  }

  /**
   * An empty `end` is after every key. Goes on, in a turn of its own each time, until it has a row to show or reaches the end: the caller
   * continues after the last row.
   */
  async scan({ start, end, limit, readTs }: Scan): Promise<StorageResponse> {
    const stop = end.length === 0 ? undefined : end;
    let from = start;
    for (;;) {
      const page = await this.unblockedPage(from, stop, limit, readTs);
      const more = page.resume !== undefined;
      if (page.resume === undefined || page.entries.length > 0) return { kind: 'scan', rows: page.entries, more };
      from = page.resume;
    }
  }

  private async unblockedPage(
    start: Buffer,
    end: Buffer | undefined,
    limit: number,
    readTs: Timestamp,
  ): Promise<ScanPage> {
    let page: ScanPage = { entries: [], resume: undefined };
    await this.unblocked(() => {
      page = this.rows.page(start, end, readTs, limit);
      // What lies behind the page is the next page's concern.
      return this.rangeBlockers(start, page.resume ?? end, readTs);
    });
    return page;
  }

  /** Resolves in a turn in which leadership was confirmed and nothing blocks: the caller reads the store at once. */
  private async unblocked(blockers: () => readonly Blocker[]): Promise<void> {
    const giveUpUs = this.ports.clock.monotonicUs() + this.options.readWaitUs;
    let lookAgainUs = this.options.askAfterUs;
    for (;;) {
      await this.leadership.barrier();
      const blocking = blockers();
      if (blocking.length === 0) return;
      const [first] = blocking as readonly [Blocker];
      if (this.ports.clock.monotonicUs() >= giveUpUs) throw inDoubtTooLong(first);
      this.ports.probes.sometimes(first.lock === undefined ? 'read-met-latch' : 'read-met-intent');
      const locks = new Map(blocking.flatMap(({ lock }) => (lock === undefined ? [] : [[txnName(lock.txn), lock]])));
      const settled = await Promise.all([...locks.values()].map((lock) => this.recovery.settle(lock)));
      if (settled.includes(true)) continue;
      this.leadership.current();
      await this.waiters.wait(first.key, undefined, lookAgainUs);
      lookAgainUs = Math.min(lookAgainUs * 2, LOOK_AGAIN_MAX_US);
    }
  }

  private keyBlockers(keys: readonly Buffer[], readTs: Timestamp): Blocker[] {
    const blockers: Blocker[] = [];
    for (const bytes of keys) {
      const key = keyText(bytes);
      const lock = this.rows.intent(key);
      if (this.latches.blocksRead(key)) blockers.push({ key, lock: undefined });
      if (lock !== undefined && mayCommitBelow(lock, readTs)) blockers.push({ key, lock });
    }
    return blockers;
  }

  private rangeBlockers(start: Buffer, end: Buffer | undefined, readTs: Timestamp): Blocker[] {
    const blockers: Blocker[] = [];
    const latched = this.latches.blocksScan(keyText(start), end === undefined ? undefined : keyText(end));
    if (latched !== undefined) blockers.push({ key: latched, lock: undefined });
    for (const { key, lock } of this.rows.intentsIn(start, end)) {
      if (mayCommitBelow(lock, readTs)) blockers.push({ key, lock });
    }
    return blockers;
  }
}

/** An intent commits at its prepare timestamp or above. Shared locks write nothing and never block a read. */
function mayCommitBelow(lock: Lock, readTs: Timestamp): boolean {
  return lock.prepTs <= readTs;
}

function inDoubtTooLong({ key, lock }: Blocker): SynodError {
  const who = lock === undefined ? 'a transaction that is being prepared' : `transaction ${txnName(lock.txn)}`;
  return new SynodError('unavailable', `key ${printableKey(key)} waits for ${who}; try again`);
}
