import { invariant } from '@synod/invariant';
import type { ReadVersion, Timestamp, TxnAttempt, TxnHandle, Write } from '@synod/protocols';
import { SynodError } from '@synod/runtime';
import { Backoff } from './backoff';
import type { AttemptOutcome, Committer } from './committer';
import { OutcomeUnknownError } from './outcome-unknown-error';
import type { ClientPorts } from './ports';
import type { Routing } from './routing';
import type { SnapshotReader } from './snapshot-reader';
import type { TimestampClient } from './timestamp-client';
import { BufferedTransaction, type Transaction } from './transaction';

export interface TransactionOptions {
  /** How often the function may run; 100 by default. */
  readonly maxAttempts?: number;
  /** For all attempts together; 30 s by default. */
  readonly timeoutUs?: number;
  /** For learning what became of a commit whose answer was lost, on top of `timeoutUs`; 30 s by default. */
  readonly settleUs?: number;
}

/** A transaction that took effect. */
export interface Committed<T> {
  /** What the function returned in the attempt that committed. */
  readonly value: T;
  /** Where the transaction stands in the one order of all: its commit timestamp, or its read timestamp if it wrote nothing. */
  readonly ts: Timestamp;
  readonly attempts: number;
  /** How many answers to a commit were lost, so that the outcome had to be asked for. */
  readonly settled: number;
  /** Absent if it wrote nothing. */
  readonly txn?: TxnHandle;
}

const DEFAULTS = { maxAttempts: 100, timeoutUs: 30_000_000, settleUs: 30_000_000 } as const;

/** The others need about that long to finish; longer waits come only with repeated conflicts. */
const CONFLICT_PAUSE_MIN_US = 4_000;
const CONFLICT_PAUSE_MAX_US = 256_000;

/** What all attempts of one logical transaction share. */
interface Lineage {
  readonly id: string;
  /** Read timestamp of the first attempt, so that a transaction that had to retry ages and wins. */
  priority: Timestamp | undefined;
  /** Invariant `one-record-per-transaction`: chosen by the first attempt that writes, kept by all later ones. */
  anchor: number | undefined;
  /** Answers lost so far. */
  settled: number;
}

/** Runs functions as transactions: again and again on conflict, and never a second time while the first may have committed. */
export class TransactionClient {
  constructor(
    private readonly ports: ClientPorts,
    private readonly parts: {
      readonly routing: Routing;
      readonly reader: SnapshotReader;
      readonly timestamps: TimestampClient;
      readonly committer: Committer;
    },
  ) {}

  /**
   * Runs `work` until one of its runs commits, each on a snapshot of its own; what earlier runs did has no effect. `work` must not
   * have effects of its own.
   * @throws what `work` throws: nothing was written then
   * @throws {OutcomeUnknownError} only if the cluster cannot say, within `settleUs`, whether the last run committed
   * @throws {SynodError} `conflict` after `maxAttempts`; `unavailable`, `overloaded`, `invalid-argument`: nothing was written
   */
  async run<T>(
    work: (transaction: Transaction) => Promise<T>,
    options: TransactionOptions = {},
  ): Promise<Committed<T>> {
    const { maxAttempts, timeoutUs, settleUs } = { ...DEFAULTS, ...options };
    const { clock, random } = this.ports;
    const deadlineUs = clock.monotonicUs() + timeoutUs;
    const lineage: Lineage = {
      id: random.bytes(16).toString('hex'),
      priority: undefined,
      anchor: undefined,
      settled: 0,
    };
    const backoff = new Backoff(this.ports, CONFLICT_PAUSE_MIN_US, CONFLICT_PAUSE_MAX_US);
    for (let attempt = 1; ; attempt++) {
      const readTs = await this.parts.timestamps.next();
      lineage.priority ??= readTs;
      const transaction = new BufferedTransaction(this.parts.reader, readTs, deadlineUs - clock.monotonicUs());
      const value = await work(transaction);
      const { reads, writes } = transaction;
      // All reads were of one snapshot, so they are in order as they are: nothing to validate, nothing to send.
      if (writes.length === 0) return { value, ts: readTs, attempts: attempt, settled: lineage.settled };

      const named = await this.name(lineage, attempt, writes);
      const commitUs = Math.max(0, deadlineUs - clock.monotonicUs());
      const ended = await this.commit(lineage, named, reads, writes, { commitUs, settleUs });
      if (ended.outcome.state === 'committed') {
        invariant(ended.outcome.attempt === attempt, 'one-attempt-commits', () => `${lineage.id}: ${attempt}`);
        return { value, ts: ended.outcome.commitTs, attempts: attempt, settled: lineage.settled, txn: named.txn };
      }
      const leftUs = deadlineUs - clock.monotonicUs();
      if (attempt >= maxAttempts || leftUs <= 0) throw aborted(ended, attempt);
      await backoff.pause(leftUs);
    }
  }

  /**
   * What became of a transaction, for whoever caught an `OutcomeUnknownError`. Final: if nothing was decided, it is now, as aborted.
   * @throws {SynodError} if nobody could tell in time
   */
  outcome(txn: TxnHandle, attempt: number, timeoutUs: number = DEFAULTS.settleUs): Promise<AttemptOutcome> {
    return this.parts.committer.outcome(txn, attempt, timeoutUs);
  }

  private async name(lineage: Lineage, attempt: number, writes: readonly Write[]): Promise<TxnAttempt> {
    await this.parts.routing.ready();
    const [smallest] = writes as readonly [Write];
    lineage.anchor ??= this.parts.routing.shardOf(smallest.key);
    return { txn: { id: lineage.id, anchor: lineage.anchor }, attempt, priority: lineage.priority ?? 0n };
  }

  /** @throws {OutcomeUnknownError} */
  private async commit(
    lineage: Lineage,
    attempt: TxnAttempt,
    reads: readonly ReadVersion[],
    writes: readonly Write[],
    { commitUs, settleUs }: { readonly commitUs: number; readonly settleUs: number },
  ): Promise<AttemptOutcome> {
    try {
      return await this.parts.committer.commit(attempt, reads, writes, commitUs);
    } catch (error) {
      // Invariant `unknown-is-never-reported-as-aborted`: what may have committed is asked about, not run again.
      if (!(error instanceof SynodError) || error.kind !== 'outcome-unknown') throw error;
      lineage.settled++;
      return await this.settle(attempt, settleUs, error);
    }
  }

  private async settle(attempt: TxnAttempt, settleUs: number, lost: SynodError): Promise<AttemptOutcome> {
    this.ports.log.debug('the answer to a commit was lost; asking for its outcome', { txn: attempt.txn.id });
    try {
      return await this.outcome(attempt.txn, attempt.attempt, settleUs);
    } catch (error) {
      if (!(error instanceof SynodError)) throw error;
      throw new OutcomeUnknownError(attempt.txn, attempt.attempt, lost);
    }
  }
}

function aborted({ conflict, reason }: AttemptOutcome, attempts: number): SynodError {
  const times = attempts === 1 ? 'once' : `${attempts} times`;
  return new SynodError(
    conflict ? 'conflict' : 'unavailable',
    `the transaction was tried ${times} and aborted: ${reason}`,
  );
}
