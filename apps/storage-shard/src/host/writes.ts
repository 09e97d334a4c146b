import type { StorageRequest, StorageResponse } from '@synod/protocols';
import { SynodError, type Clock, type Probes } from '@synod/runtime';
import {
  obstacle,
  txnName,
  waitOrDie,
  type Key,
  type Lock,
  type PrepareOutcome,
  type Refusal,
  type Timestamp,
  type TxnAttempt,
  type Work,
} from '@synod/two-phase-commit';
import type { ShardCommand } from '../state/commands';
import { keyText, printableKey } from '../state/key-text';
import type { Value } from '../state/row-codec';
import type { ShardRows } from '../state/shard-rows';
import type { KeyWaiters } from './key-waiters';
import type { Latch, Latches } from './latches';
import type { Leadership, Term } from './leadership';
import type { ShardHostOptions } from './options';
import type { TimestampSource } from './ports';
import type { Recovery } from './recovery';

type Prepare = StorageRequest & { kind: 'prepare' | 'commit-one-phase' };

/** What is in the way of an attempt right now, and may go away. */
interface Obstruction {
  readonly key: Key;
  readonly holder: TxnAttempt;
  /** If it is a lock in the store: then it can be asked about. */
  readonly lock: Lock | undefined;
}

/** Between looks at a lock that is waited for, at most. */
const LOOK_AGAIN_US = 100_000;

/** Phase 1 at the leader: holds the keys, takes the timestamp, and proposes the command that checks everything again. */
export class ShardWrites {
  private inflight = 0;

  constructor(
    private readonly rows: ShardRows,
    private readonly leadership: Leadership,
    private readonly latches: Latches,
    private readonly waiters: KeyWaiters,
    private readonly recovery: Recovery,
    private readonly timestamps: TimestampSource,
    private readonly options: ShardHostOptions,
    private readonly ports: { readonly clock: Clock; readonly probes: Probes },
  ) {}

  /** @throws {SynodError} `not-leader`, `overloaded`, `unavailable`: not done; `outcome-unknown` */
  async write(request: Prepare): Promise<StorageResponse> {
    if (this.inflight >= this.options.writesInflightMax) {
      throw new SynodError(
        'overloaded',
        `${this.options.writesInflightMax} writes to this shard are in progress; back off`,
      );
    }
    this.inflight++;
    try {
      return responseTo(await this.prepare(workOf(request), request.kind));
    } finally {
      this.inflight--;
    }
  }

  private async prepare(work: Work<Value>, kind: Prepare['kind']): Promise<PrepareOutcome> {
    const term = this.leadership.current();
    const found = await this.hold(work, term);
    if (found.kind !== 'held') return found;
    try {
      const ts = await this.timestamps.next();
      // A leader in between may have served reads at timestamps above this one.
      this.leadership.assertStill(term);
      const result = await this.leadership.propose(commandOf(kind, work, ts));
      if (result.kind === 'record' || result.kind === 'resolved')
        throw new Error(`a ${kind} was answered as ${result.kind}`);
      return result;
    } finally {
      this.latches.release(found.latch);
      this.waiters.wake([...found.latch.exclusive, ...found.latch.shared]);
    }
  }

  /** Latches every key of the attempt at once, waiting for its turn as wait-die allows; or says why that cannot be. */
  private async hold(work: Work<Value>, term: Term): Promise<PrepareOutcome | { kind: 'held'; latch: Latch }> {
    const exclusive = new Set(work.writes.map(({ key }) => key));
    const shared = new Set(work.reads.map(({ key }) => key).filter((key) => !exclusive.has(key)));
    const giveUpUs = this.ports.clock.monotonicUs() + this.options.lockWaitUs;
    for (;;) {
      this.leadership.assertStill(term);
      const found = obstacle(this.rows, work);
      if (found !== undefined && found.kind !== 'refused') return found;
      if (found?.refusal.kind === 'earlier-attempt') {
        // The client gave up its earlier attempt. Unless that committed after all, this one may go on.
        if (await this.recovery.supersede(found.refusal.earlier)) continue;
        return found;
      }
      if (found !== undefined && found.refusal.kind !== 'locked') return found;
      const obstruction = locked(found?.refusal) ?? this.latched(exclusive, shared);
      if (obstruction === undefined) {
        const latch: Latch = { owner: work.attempt, exclusive, shared };
        this.latches.acquire(latch);
        return { kind: 'held', latch };
      }
      const refusal = await this.waitTurn(work.attempt, obstruction, giveUpUs);
      if (refusal !== undefined) return refusal;
    }
  }

  private latched(exclusive: ReadonlySet<Key>, shared: ReadonlySet<Key>): Obstruction | undefined {
    const conflict = this.latches.conflict(exclusive, shared);
    return conflict === undefined ? undefined : { key: conflict.key, holder: conflict.owner, lock: undefined };
  }

  /** @returns undefined when it is time to look again */
  private async waitTurn(
    attempt: TxnAttempt,
    { key, holder, lock }: Obstruction,
    giveUpUs: number,
  ): Promise<PrepareOutcome | undefined> {
    const leftUs = giveUpUs - this.ports.clock.monotonicUs();
    const dies = waitOrDie(attempt, holder) === 'die';
    if (dies || leftUs <= 0) {
      this.ports.probes.sometimes(dies ? 'younger-died' : 'older-waited-in-vain');
      return { kind: 'refused', refusal: { kind: 'locked', key, holder: lock ?? { ...holder, prepTs: 0n } } };
    }
    this.ports.probes.sometimes('older-waited');
    if (lock !== undefined && (await this.recovery.settle(lock))) return undefined;
    await this.waiters.wait(key, attempt, Math.min(leftUs, LOOK_AGAIN_US));
    return undefined;
  }
}

function locked(refusal: Refusal | undefined): Obstruction | undefined {
  return refusal?.kind === 'locked' ? { key: refusal.key, holder: refusal.holder, lock: refusal.holder } : undefined;
}

function workOf({ attempt, reads, writes }: Prepare): Work<Value> {
  return {
    attempt,
    reads: reads.map(({ key, version }) => ({ key: keyText(key), version })),
    writes: writes.map(({ key, value }) => ({ key: keyText(key), value })),
  };
}

function commandOf(kind: Prepare['kind'], work: Work<Value>, ts: Timestamp): ShardCommand {
  return kind === 'prepare' ? { kind, work, prepTs: ts } : { kind, work, commitTs: ts };
}

function responseTo(outcome: PrepareOutcome): StorageResponse {
  switch (outcome.kind) {
    case 'prepared':
      return { kind: 'prepared', prepTs: outcome.prepTs };
    case 'decided':
      return { kind: 'record', record: outcome.record };
    case 'refused':
      return { kind: 'conflict', reason: reasonOf(outcome.refusal) };
  }
}

function reasonOf(refusal: Refusal): string {
  switch (refusal.kind) {
    case 'changed':
      return `key ${printableKey(refusal.key)} has changed since it was read`;
    case 'locked':
      return `key ${printableKey(refusal.key)} is held by transaction ${txnName(refusal.holder.txn)}`;
    case 'earlier-attempt':
      return `attempt ${refusal.earlier.attempt} of this transaction is still in doubt`;
    case 'stale-attempt':
      return `attempt ${refusal.attempt} of this transaction came before`;
  }
}
