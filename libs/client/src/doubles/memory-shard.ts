import { unreachable } from '@synod/invariant';
import type { Row, ShardId, StorageRequest, StorageResponse, Timestamp } from '@synod/protocols';
import { SynodError } from '@synod/runtime';
import {
  commitOnePhase,
  decide,
  prepare,
  resolve,
  sameTxn,
  txnName,
  UNDECIDED,
  WORKING,
  type Change,
  type Decision,
  type DecisionRecord,
  type Key,
  type Lock,
  type ParticipantState,
  type PrepareOutcome,
  type ShardView,
  type TxnHandle,
  type Work,
} from '@synod/two-phase-commit';

type Value = Buffer | undefined;
type Asked<K extends StorageRequest['kind']> = Extract<StorageRequest, { kind: K }>;

/**
 * A shard in the memory of one process: the rules of @synod/two-phase-commit over plain maps, without replication, and without
 * waiting: whatever would wait is told `unavailable` or `conflict` at once.
 */
export class MemoryShard implements ShardView {
  private readonly participations = new Map<string, ParticipantState>();
  private readonly decisions = new Map<string, Decision>();
  private readonly intents = new Map<Key, { readonly lock: Lock; readonly value: Value }>();
  private readonly shared = new Map<Key, readonly Lock[]>();
  private readonly history = new Map<Key, readonly { readonly version: Timestamp; readonly value: Value }[]>();

  constructor(
    readonly id: ShardId,
    private readonly nextTs: () => Timestamp,
  ) {}

  participation(txn: TxnHandle): ParticipantState {
    return this.participations.get(txnName(txn)) ?? WORKING;
  }

  decision(txn: TxnHandle): DecisionRecord {
    return this.decisions.get(txnName(txn)) ?? UNDECIDED;
  }

  newestVersion(key: Key): Timestamp {
    return this.history.get(key)?.[0]?.version ?? 0n;
  }

  intent(key: Key): Lock | undefined {
    return this.intents.get(key)?.lock;
  }

  sharedLocks(key: Key): readonly Lock[] {
    return this.shared.get(key) ?? [];
  }

  /** True once nothing is locked or in doubt. */
  get quiet(): boolean {
    return this.intents.size === 0 && this.shared.size === 0;
  }

  handle(request: StorageRequest): StorageResponse {
    switch (request.kind) {
      case 'read':
        return this.read(request);
      case 'scan':
        return this.scan(request);
      case 'prepare':
        return this.answer(prepare<Value>(this, workOf(request), this.nextTs()));
      case 'commit-one-phase':
        return this.answer(commitOnePhase<Value>(this, workOf(request), this.nextTs()));
      case 'decide': {
        const verdict = decide<Value>(this, this.id, request.txn, request.proposal, request.participants);
        this.apply(verdict.changes);
        return { kind: 'record', record: verdict.outcome };
      }
      case 'status':
        return { kind: 'record', record: this.decision(request.txn) };
      case 'resolve':
        this.apply(resolve<Value>(this, request.txn, request.outcome));
        return { kind: 'resolved' };
      default:
        return unreachable(request);
    }
  }

  private read({ keys, readTs }: Asked<'read'>): StorageResponse {
    return { kind: 'read', values: keys.map((key) => this.at(key.toString('latin1'), readTs)) };
  }

  private scan({ start, end, limit, readTs }: Asked<'scan'>): StorageResponse {
    const rows: Row[] = [];
    const keys = new Set([...this.history.keys(), ...this.intents.keys()]);
    for (const key of [...keys].sort((a, b) => (a < b ? -1 : 1))) {
      const bytes = Buffer.from(key, 'latin1');
      if (bytes.compare(start) < 0 || (end.length > 0 && bytes.compare(end) >= 0)) continue;
      const { value, version } = this.at(key, readTs);
      if (value === undefined) continue;
      if (rows.length === limit) return { kind: 'scan', rows, more: true };
      rows.push({ key: bytes, value, version });
    }
    return { kind: 'scan', rows, more: false };
  }

  private at(key: Key, readTs: Timestamp): { value: Value; version: Timestamp } {
    const lock = this.intent(key);
    if (lock !== undefined && lock.prepTs <= readTs)
      throw new SynodError('unavailable', `${key} is in doubt; try again`);
    return this.history.get(key)?.find(({ version }) => version <= readTs) ?? { value: undefined, version: 0n };
  }

  private answer(verdict: { outcome: PrepareOutcome; changes: readonly Change<Value>[] }): StorageResponse {
    this.apply(verdict.changes);
    switch (verdict.outcome.kind) {
      case 'prepared':
        return verdict.outcome;
      case 'decided':
        return { kind: 'record', record: verdict.outcome.record };
      case 'refused':
        return { kind: 'conflict', reason: verdict.outcome.refusal.kind };
    }
  }

  private apply(changes: readonly Change<Value>[]): void {
    for (const change of changes) this.applyOne(change);
  }

  private applyOne(change: Change<Value>): void {
    switch (change.kind) {
      case 'participation':
        this.participations.set(txnName(change.txn), change.state);
        return;
      case 'decision':
        this.decisions.set(txnName(change.txn), change.record);
        return;
      case 'put-intent':
        this.intents.set(change.key, { lock: change.lock, value: change.value });
        return;
      case 'put-shared-lock':
        this.shared.set(change.key, [...this.sharedLocks(change.key), change.lock]);
        return;
      case 'drop-intent':
        this.intents.delete(change.key);
        return;
      case 'drop-shared-lock': {
        const rest = this.sharedLocks(change.key).filter((lock) => !sameTxn(lock.txn, change.txn));
        if (rest.length === 0) this.shared.delete(change.key);
        else this.shared.set(change.key, rest);
        return;
      }
      case 'commit-intent':
        this.write(change.key, change.commitTs, this.intents.get(change.key)?.value);
        this.intents.delete(change.key);
        return;
      case 'put-version':
        this.write(change.key, change.commitTs, change.value);
        return;
    }
  }

  private write(key: Key, version: Timestamp, value: Value): void {
    this.history.set(key, [{ version, value }, ...(this.history.get(key) ?? [])]);
  }
}

function workOf({ attempt, reads, writes }: Asked<'prepare' | 'commit-one-phase'>): Work<Value> {
  return {
    attempt,
    reads: reads.map(({ key, version }) => ({ key: key.toString('latin1'), version })),
    writes: writes.map(({ key, value }) => ({ key: key.toString('latin1'), value })),
  };
}
