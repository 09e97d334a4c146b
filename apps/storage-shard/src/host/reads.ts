import type { StorageRequest, StorageResponse } from '@synod/protocols';
import { successor, SynodError, type Clock, type Probes } from '@synod/runtime';
import { txnName, type Key, type Lock, type Timestamp } from '@synod/two-phase-commit';
import { keyText, printableKey } from '../state/key-text';
import type { ShardRows } from '../state/shard-rows';
import type { KeyWaiters } from './key-waiters';
import type { Latches } from './latches';
import type { Leadership } from './leadership';
import { invalid, RESPONSE_BYTES_MAX, TRANSACTION_BYTES_MAX } from './limits';
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
/** After every key. */
const KEYS_END = Buffer.alloc(1_100, 0xff);

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

  /** An empty `end` is after every key. */
  async scan({ start, end, limit, readTs }: Scan): Promise<StorageResponse> {
    const stop = end.length === 0 ? KEYS_END : end;
    let page = this.page(start, stop, limit, readTs);
    await this.unblocked(() => {
      page = this.page(start, stop, limit, readTs);
      // What lies behind the page's last row is the next page's concern.
      const last = page.rows.at(-1);
      return this.rangeBlockers(start, page.more && last !== undefined ? successor(last.key) : stop, readTs);
    });
    return { kind: 'scan', rows: page.rows, more: page.more };
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

  private rangeBlockers(start: Buffer, end: Buffer, readTs: Timestamp): Blocker[] {
    const blockers: Blocker[] = [];
    const latched = this.latches.blocksScan(keyText(start), keyText(end));
    if (latched !== undefined) blockers.push({ key: latched, lock: undefined });
    for (const { key, lock } of this.rows.intentsIn(start, end)) {
      if (mayCommitBelow(lock, readTs)) blockers.push({ key, lock });
    }
    return blockers;
  }

  private page(start: Buffer, end: Buffer, limit: number, readTs: Timestamp) {
    const rows: { key: Buffer; value: Buffer; version: Timestamp }[] = [];
    let bytes = 0;
    for (const row of this.rows.scanAt(start, end, readTs)) {
      if (rows.length === limit || bytes >= RESPONSE_BYTES_MAX) return { rows, more: true };
      rows.push(row);
      bytes += row.key.length + row.value.length;
    }
    return { rows, more: false };
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
