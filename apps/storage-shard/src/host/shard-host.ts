import { unreachable } from '@synod/invariant';
import { TRANSACTION_KEYS_MAX, type ShardId, type StorageRequest, type StorageResponse } from '@synod/protocols';
import type { Group, NodeId, StateMachine } from '@synod/replication';
import { SynodError, type Clock, type Log, type Probes, type StoreReader, type Timers } from '@synod/runtime';
import type { Decision, TxnHandle } from '@synod/two-phase-commit';
import { printableKey, keyText } from '../state/key-text';
import { ShardRows } from '../state/shard-rows';
import { ShardStateMachine, type LockEvent, type ShardResult } from '../state/shard-state-machine';
import { InDoubt } from './in-doubt';
import { KeyWaiters } from './key-waiters';
import { Latches } from './latches';
import { Leadership } from './leadership';
import {
  checkAttemptNumber,
  checkHandle,
  checkKey,
  checkTimestamp,
  checkTransaction,
  invalid,
  SCAN_ROWS_MAX,
} from './limits';
import { DEFAULT_SHARD_OPTIONS, type ShardHostOptions } from './options';
import type { ShardRouter, TimestampSource } from './ports';
import { ShardReads } from './reads';
import { Recovery } from './recovery';
import { ShardWrites } from './writes';

export interface ShardHostParts {
  readonly shard: ShardId;
  /** Of the shard's group, in the store. */
  readonly prefix: Buffer;
  readonly store: StoreReader;
  readonly ports: { readonly clock: Clock; readonly timers: Timers; readonly log: Log; readonly probes: Probes };
  readonly timestamps: TimestampSource;
  readonly router: ShardRouter;
  /** Whether a key belongs to this shard. */
  readonly owns: (key: Buffer) => boolean;
  /** Where clients reach a node, if that is known. */
  readonly addressOf: (node: NodeId) => string | undefined;
  readonly options?: Partial<ShardHostOptions>;
}

/** One replica of a shard on this node, and, while it leads, the shard's participant in everybody's transactions. */
export class ShardHost {
  readonly stateMachine: StateMachine<ShardResult>;
  private readonly options: ShardHostOptions;
  private readonly rows: ShardRows;
  private readonly leadership: Leadership;
  private readonly latches = new Latches();
  private readonly waiters: KeyWaiters;
  private readonly inDoubt: InDoubt;
  private readonly recovery: Recovery;
  private readonly reads: ShardReads;
  private readonly writes: ShardWrites;

  constructor(private readonly parts: ShardHostParts) {
    const { shard, prefix, store, ports, router, timestamps, addressOf } = parts;
    this.options = { ...DEFAULT_SHARD_OPTIONS, ...parts.options };
    this.rows = new ShardRows(store, prefix);
    // What else is known here of the state belongs to the leader, which never lags so far that it needs a snapshot.
    this.stateMachine = new ShardStateMachine(
      shard,
      prefix,
      (event) => this.locksChanged(event),
      (moved) => this.rows.moveTo(moved),
    );
    this.leadership = new Leadership(`shard ${shard}`, addressOf);
    this.waiters = new KeyWaiters(ports.timers, this.options.waitersMax);
    this.inDoubt = new InDoubt(ports.clock);
    const { rows, leadership, latches, waiters, inDoubt, options } = this;
    this.recovery = new Recovery(leadership, inDoubt, router, options, ports);
    this.reads = new ShardReads(rows, leadership, latches, waiters, this.recovery, options, ports);
    this.writes = new ShardWrites(rows, leadership, latches, waiters, this.recovery, timestamps, options, ports);
  }

  get leads(): boolean {
    return this.leadership.leads;
  }

  /** Transactions in doubt here, as far as the leader of the shard knows; 0 elsewhere. */
  get inDoubtCount(): number {
    return this.inDoubt.size;
  }

  /** Must be called once, before anything else, with the group that this host's `stateMachine` was given to. */
  attach(group: Group<ShardResult>): void {
    this.leadership.attach(group);
  }

  leadershipChanged(leads: boolean): void {
    this.leadership.changed(leads);
    // Whoever waits under the old leadership is sent away: the next leader may already serve.
    this.latches.clear();
    this.inDoubt.clear();
    if (leads) for (const { lock } of this.rows.allPrepared()) this.inDoubt.add(lock);
    else this.waiters.fail(this.leadership.notLeader());
  }

  /** @throws {SynodError} of any kind of the table in @synod/runtime but `conflict`, which is an answer */
  async handle(request: StorageRequest): Promise<StorageResponse> {
    switch (request.kind) {
      case 'read':
        if (request.keys.length > TRANSACTION_KEYS_MAX)
          throw invalid(`keys are ${request.keys.length}: at most ${TRANSACTION_KEYS_MAX}`);
        request.keys.forEach((key, index) => this.checkOwn(key, `keys[${index}]`));
        checkTimestamp(request.readTs, 'readTs');
        return this.reads.read(request);
      case 'scan':
        checkTimestamp(request.readTs, 'readTs');
        if (request.limit < 1 || request.limit > SCAN_ROWS_MAX)
          throw invalid(`limit is ${request.limit}: 1 to ${SCAN_ROWS_MAX}`);
        return this.reads.scan(request);
      case 'prepare':
      case 'commit-one-phase':
        checkTransaction(request);
        request.reads.forEach(({ key }, index) => this.checkOwn(key, `reads[${index}].key`));
        request.writes.forEach(({ key }, index) => this.checkOwn(key, `writes[${index}].key`));
        if (request.kind === 'commit-one-phase') this.checkAnchor(request.attempt.txn.anchor);
        return this.writes.write(request);
      case 'decide':
        return this.decide(request);
      case 'status':
        return this.status(request);
      case 'resolve':
        return this.resolve(request);
      default:
        return unreachable(request);
    }
  }

  /** Asks about what has been in doubt for long, so that no intent outlives its coordinator because nobody happens to meet it. */
  sweep(): void {
    if (!this.leads || this.inDoubt.size === 0) return;
    let asked = 0;
    for (const lock of this.inDoubt.olderThan(this.options.sweepAfterUs)) {
      if (++asked > this.options.sweepMax) return;
      void this.recovery.settle(lock);
    }
  }

  private async decide({ txn, proposal, participants }: StorageRequest & { kind: 'decide' }): Promise<StorageResponse> {
    checkHandle(txn);
    this.checkAnchor(txn.anchor);
    checkAttemptNumber(proposal.attempt, 'proposal.attempt');
    this.leadership.current();
    const result = await this.leadership.propose({ kind: 'decide', txn, proposal, participants });
    if (result.kind !== 'record') throw new Error(`a decide was answered as ${result.kind}`);
    return result;
  }

  private async status({ txn }: StorageRequest & { kind: 'status' }): Promise<StorageResponse> {
    checkHandle(txn);
    this.checkAnchor(txn.anchor);
    await this.leadership.barrier();
    return { kind: 'record', record: this.rows.decision(txn) };
  }

  private async resolve({ txn, outcome }: StorageRequest & { kind: 'resolve' }): Promise<StorageResponse> {
    checkHandle(txn);
    checkAttemptNumber(outcome.attempt, 'outcome.attempt');
    this.leadership.current();
    if (this.alreadyEnded(txn, outcome)) return { kind: 'resolved' };
    await this.leadership.propose({ kind: 'resolve', txn, outcome });
    return { kind: 'resolved' };
  }

  /** Most often at the anchor, which resolved itself when it decided. What has ended so stays so: no log entry is needed. */
  private alreadyEnded(txn: TxnHandle, outcome: Decision): boolean {
    const state = this.rows.participation(txn);
    if (state.phase === 'prepared') return false;
    const known = state.phase === 'working' ? this.rows.decision(txn) : { ...state, state: state.phase };
    return known.state === outcome.state && known.attempt >= outcome.attempt;
  }

  private locksChanged(event: LockEvent): void {
    if (!this.leads) return;
    switch (event.kind) {
      case 'prepared':
        this.inDoubt.add(event.lock);
        return;
      case 'released':
        this.inDoubt.remove(event.txn);
        this.waiters.wake(event.keys);
        return;
      default:
        unreachable(event);
    }
  }

  private checkOwn(key: Buffer, field: string): void {
    checkKey(key, field);
    if (this.parts.owns(key)) return;
    throw new SynodError(
      'wrong-shard',
      `${field} ${printableKey(keyText(key))} does not belong to shard ${this.parts.shard}`,
    );
  }

  private checkAnchor(anchor: ShardId): void {
    if (anchor !== this.parts.shard) throw invalid(`txn.anchor is ${anchor}: this is shard ${this.parts.shard}`);
  }
}
