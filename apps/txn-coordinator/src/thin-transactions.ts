import {
  BufferedTransaction,
  formatHandle,
  parseHandle,
  type AttemptOutcome,
  type Routing,
  type SnapshotReader,
  type TimestampClient,
} from '@synod/client';
import type { Timestamp, TxnHandle, Write } from '@synod/protocols';
import { SynodError, type Cancel, type Clock, type Random, type Timers } from '@synod/runtime';
import type { Commits } from './commits';
import type { CoordinatorOptions } from './options';

/** What a thin client is told of its commit. */
export interface ThinCommit {
  /** Its read timestamp if it wrote nothing. */
  readonly commitTs: Timestamp;
  /** Absent if it wrote nothing. */
  readonly txn: TxnHandle | undefined;
}

interface Session {
  readonly id: string;
  readonly transaction: BufferedTransaction;
  usedUs: number;
  /** Commit was asked for: what is written stays as it is from then on. */
  sealed: boolean;
  /** In progress or certain: a repeat returns the same answer. */
  commit: Promise<ThinCommit> | undefined;
}

const READ_TIMEOUT_US = 10_000_000;

/**
 * Transactions of clients too thin to keep a write buffer, such as grpcurl: it is kept here, in memory. A transaction lives with the
 * coordinator that began it; if that dies before `commit`, it certainly did not happen.
 */
export class ThinTransactions {
  private readonly sessions = new Map<string, Session>();
  private cancelSweep: Cancel | undefined;

  constructor(
    private readonly nodeId: string,
    private readonly parts: {
      readonly clock: Clock;
      readonly timers: Timers;
      readonly random: Random;
      readonly routing: Routing;
      readonly reader: SnapshotReader;
      readonly timestamps: TimestampClient;
      readonly commits: Commits;
    },
    private readonly options: CoordinatorOptions,
  ) {}

  get size(): number {
    return this.sessions.size;
  }

  /** @returns `coordinator/txn_id`, the name for all later calls */
  async begin(): Promise<{ name: string; readTs: Timestamp }> {
    if (this.sessions.size >= this.options.sessionsMax) {
      throw new SynodError('overloaded', `${this.options.sessionsMax} transactions are open here; commit or roll back`);
    }
    const readTs = await this.parts.timestamps.next();
    const id = this.parts.random.bytes(16).toString('hex');
    const transaction = new BufferedTransaction(this.parts.reader, readTs, READ_TIMEOUT_US);
    this.sessions.set(id, {
      id,
      transaction,
      usedUs: this.parts.clock.monotonicUs(),
      sealed: false,
      commit: undefined,
    });
    this.cancelSweep ??= this.sweepLater();
    return { name: `${this.nodeId}/${id}`, readTs };
  }

  get(name: string, key: Buffer): Promise<Buffer | undefined> {
    return this.open(name).transaction.get(key);
  }

  put(name: string, key: Buffer, value: Buffer): void {
    this.open(name).transaction.put(key, value);
  }

  delete(name: string, key: Buffer): void {
    this.open(name).transaction.delete(key);
  }

  /**
   * @throws {SynodError} `conflict`: begin again; `unavailable`: nothing happened; `outcome-unknown`: ask `outcome` with the handle that
   *   the message names. A repeat throws, or returns, the same.
   */
  commit(name: string): Promise<ThinCommit> {
    const session = this.find(name);
    session.sealed = true;
    session.commit ??= this.commitNow(session).catch((error: unknown) => {
      // The same attempt may be driven any number of times, so whatever is not certain yet can be asked for again.
      if (!(error instanceof SynodError) || error.kind !== 'conflict') session.commit = undefined;
      throw error;
    });
    return session.commit;
  }

  /** Does nothing to a transaction that is gone already. */
  rollback(name: string): void {
    const { id } = this.parse(name);
    if (this.sessions.get(id)?.sealed === true) {
      throw new SynodError('failed-precondition', `${name} has been committed, or is being; ask Commit again`);
    }
    this.sessions.delete(id);
  }

  /** @param handle `txn_id@anchor` */
  outcome(handle: string, attempt: number): Promise<AttemptOutcome> {
    return this.parts.commits.outcome(parseHandle(handle), attempt);
  }

  stop(): void {
    this.cancelSweep?.();
    this.sessions.clear();
  }

  private async commitNow({ id, transaction }: Session): Promise<ThinCommit> {
    const { reads, writes } = transaction;
    const [smallest] = writes;
    if (smallest === undefined) return { commitTs: transaction.readTs, txn: undefined };
    const txn = { id, anchor: this.anchorOf(smallest) };
    const attempt = { txn, attempt: 1, priority: transaction.readTs };
    const { outcome, conflict, reason } = await this.parts.commits.commit(attempt, reads, writes);
    if (outcome.state === 'committed') return { commitTs: outcome.commitTs, txn };
    const advice = conflict ? 'begin again' : 'nothing was written';
    throw new SynodError(conflict ? 'conflict' : 'unavailable', `${formatHandle(txn)} aborted: ${reason}; ${advice}`);
  }

  private anchorOf(smallest: Write): number {
    return this.parts.routing.shardOf(smallest.key);
  }

  private open(name: string): Session {
    const session = this.find(name);
    if (!session.sealed) return session;
    throw new SynodError('failed-precondition', `${name} has been committed, or is being; begin another`);
  }

  private find(name: string): Session {
    const session = this.sessions.get(this.parse(name).id);
    if (session === undefined) {
      throw new SynodError('not-found', `${name} is not open here: it was rolled back, or had no call for 60 s`);
    }
    session.usedUs = this.parts.clock.monotonicUs();
    return session;
  }

  /** @throws {SynodError} `not-leader` with the right address, if another coordinator began it */
  private parse(name: string): { id: string } {
    const match = /^([A-Za-z0-9._-]+)\/([0-9a-f]{32})$/.exec(name);
    if (match === null) {
      throw new SynodError(
        'invalid-argument',
        `${JSON.stringify(name)} is not what Begin returned: coordinator/txn_id`,
      );
    }
    const [, coordinator = '', id = ''] = match;
    if (coordinator === this.nodeId) return { id };
    const hint = this.parts.routing.find('txn-coordinator', coordinator)?.address;
    if (hint !== undefined) {
      throw new SynodError('not-leader', `${coordinator} at ${hint} began this transaction; ask there`, { hint });
    }
    throw new SynodError(
      'not-found',
      `${coordinator}, which began this transaction, is not running; unless Commit was sent to it, nothing happened`,
    );
  }

  private sweepLater(): Cancel {
    return this.parts.timers.after(this.options.sessionIdleUs / 4, () => {
      const oldestUs = this.parts.clock.monotonicUs() - this.options.sessionIdleUs;
      for (const [id, session] of this.sessions) if (session.usedUs < oldestUs) this.sessions.delete(id);
      this.cancelSweep = this.sessions.size > 0 ? this.sweepLater() : undefined;
    });
  }
}
