import type { AttemptOutcome, Routing } from '@synod/client';
import type { ReadVersion, ShardId, StorageRequest, TxnAttempt, TxnHandle, TxnRecord, Write } from '@synod/protocols';
import { SynodError, type Probes, type Timers } from '@synod/runtime';
import { fateOf, type Reply } from '@synod/two-phase-commit';
import { checkAttempt, checkCommit, checkHandle } from './commit-check';
import { CommitDriver, type Shards, type ShardWork } from './commit-driver';
import type { CoordinatorOptions } from './options';

/**
 * Every commit that this coordinator drives, and the outcome of any transaction at all. Stateless from a commit on: what is in memory
 * here only saves work, the truth is the record at the transaction's anchor shard.
 */
export class Commits {
  private readonly drivers = new Map<string, CommitDriver>();
  private draining: (() => void) | undefined;

  constructor(
    private readonly ports: {
      readonly timers: Timers;
      readonly probes: Probes;
      readonly shards: Shards;
      readonly routing: Routing;
    },
    private readonly options: CoordinatorOptions,
  ) {}

  /** Commits whose phase 2 is not over. */
  get size(): number {
    return this.drivers.size;
  }

  /**
   * Commits one attempt. The same attempt asked for again, here or at another coordinator, gets the same outcome.
   * @throws {SynodError} `outcome-unknown`: ask `outcome`; `invalid-argument`, `overloaded`, `unavailable`: it certainly did not start
   */
  async commit(attempt: TxnAttempt, reads: readonly ReadVersion[], writes: readonly Write[]): Promise<AttemptOutcome> {
    const { shardCount } = this.ports.routing;
    checkCommit({ attempt, reads, writes }, shardCount);
    const driver = this.drivers.get(nameOf(attempt.txn, attempt.attempt)) ?? this.drive(attempt, reads, writes);
    return this.told(attempt, await driver.answer);
  }

  /**
   * What became of a transaction: what its record says. If that has not decided up to `attempt`, an abort is proposed, and what the
   * record says then is final.
   * @throws {SynodError} `outcome-unknown`, `unavailable`, `overloaded`: the anchor could not be asked; ask again
   */
  async outcome(txn: TxnHandle, attempt: number): Promise<AttemptOutcome> {
    checkHandle(txn, this.ports.routing.shardCount);
    checkAttempt(attempt);
    // A commit in progress here will know soon, and better than to be aborted by its own client's impatience.
    const reply = await this.drivers.get(nameOf(txn, attempt))?.answer;
    if (reply?.kind === 'outcome') return reply;
    const record = await this.askAnchor(txn, { kind: 'status', shard: txn.anchor, txn });
    if (record.state !== 'none' && fateOf(attempt, record) !== 'undecided') return final(record);
    this.ports.probes.sometimes('outcome-decided-by-asking');
    const proposal = { state: 'aborted', attempt } as const;
    // Only what the record says afterwards is an answer: the commit may have won in between.
    const after = await this.askAnchor(txn, { kind: 'decide', shard: txn.anchor, txn, proposal, participants: [] });
    if (after.state === 'none')
      throw new SynodError('outcome-unknown', `the anchor of ${txn.id} decided nothing; ask again`);
    return final(after);
  }

  /** Takes no new commits, and resolves once those in progress are over, or after `atMostUs`. */
  drain(atMostUs: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.ports.timers.after(atMostUs, resolve);
      this.draining = () => {
        if (this.drivers.size > 0) return;
        cancel();
        resolve();
      };
      this.draining();
    });
  }

  /** Ends everything, as a crash would. */
  stop(): void {
    for (const driver of this.drivers.values()) driver.abandon();
    this.drivers.clear();
  }

  private drive(attempt: TxnAttempt, reads: readonly ReadVersion[], writes: readonly Write[]): CommitDriver {
    if (this.drivers.size >= this.options.commitsMax) {
      throw new SynodError('overloaded', `${this.options.commitsMax} commits are in progress; back off`);
    }
    if (this.draining !== undefined)
      throw new SynodError('unavailable', 'this coordinator is stopping; ask another one');
    const name = nameOf(attempt.txn, attempt.attempt);
    const work = this.byShard(reads, writes);
    const driver = new CommitDriver(this.ports, attempt, work, this.options, () => this.ended(name));
    this.drivers.set(name, driver);
    driver.start();
    return driver;
  }

  private ended(name: string): void {
    this.drivers.delete(name);
    this.draining?.();
  }

  private byShard(reads: readonly ReadVersion[], writes: readonly Write[]): Map<ShardId, ShardWork> {
    const work = new Map<ShardId, { reads: ReadVersion[]; writes: Write[] }>();
    const at = (key: Buffer): { reads: ReadVersion[]; writes: Write[] } => {
      const shard = this.ports.routing.shardOf(key);
      const known = work.get(shard) ?? { reads: [], writes: [] };
      work.set(shard, known);
      return known;
    };
    for (const read of reads) at(read.key).reads.push(read);
    for (const write of writes) at(write.key).writes.push(write);
    return work;
  }

  private told({ txn }: TxnAttempt, reply: Reply): AttemptOutcome {
    if (reply.kind === 'outcome') return reply;
    this.ports.probes.sometimes('commit-outcome-unknown');
    // Invariant `unknown-is-never-reported-as-aborted`.
    throw new SynodError('outcome-unknown', `${reply.reason}; ask for the outcome of ${txn.id}@${txn.anchor}`);
  }

  private async askAnchor(txn: TxnHandle, request: StorageRequest): Promise<TxnRecord> {
    const response = await this.ports.shards.request(txn.anchor, request, { timeoutUs: this.options.phaseTwoUs });
    if (response.kind === 'record') return response.record;
    throw new SynodError('outcome-unknown', `the anchor of ${txn.id} answered with ${response.kind}; ask again`);
  }
}

function final(outcome: AttemptOutcome['outcome']): AttemptOutcome {
  const reason = outcome.state === 'aborted' ? 'it is decided that no attempt so far has committed or ever will' : '';
  return { outcome, conflict: false, reason };
}

function nameOf(txn: TxnHandle, attempt: number): string {
  return `${txn.id}@${txn.anchor}/${attempt}`;
}
