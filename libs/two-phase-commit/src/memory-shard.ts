import { UNDECIDED, type Decision, type DecisionRecord } from './decision';
import { commitOnePhase, decide, prepare, resolve, type PrepareOutcome, type Work } from './participant';
import { WORKING, type Change, type Lock, type ParticipantState, type ShardView } from './shard-view';
import { sameTxn, txnName, type Key, type ShardId, type Timestamp, type TxnHandle } from './words';

/** A version in a `MemoryShard`, newest first. */
export interface MemoryVersion {
  readonly commitTs: Timestamp;
  readonly value: string;
}

/** A shard's state in plain maps: what tests and the explorer run the rules on. Values are strings. */
export class MemoryShard implements ShardView {
  private readonly participations = new Map<string, ParticipantState>();
  private readonly decisions = new Map<string, Decision>();
  private readonly intents = new Map<Key, { readonly lock: Lock; readonly value: string }>();
  private readonly shared = new Map<Key, readonly Lock[]>();
  private readonly history = new Map<Key, readonly MemoryVersion[]>();

  constructor(readonly id: ShardId) {}

  participation(txn: TxnHandle): ParticipantState {
    return this.participations.get(txnName(txn)) ?? WORKING;
  }

  decision(txn: TxnHandle): DecisionRecord {
    return this.decisions.get(txnName(txn)) ?? UNDECIDED;
  }

  newestVersion(key: Key): Timestamp {
    return this.versions(key)[0]?.commitTs ?? 0n;
  }

  intent(key: Key): Lock | undefined {
    return this.intents.get(key)?.lock;
  }

  sharedLocks(key: Key): readonly Lock[] {
    return this.shared.get(key) ?? [];
  }

  versions(key: Key): readonly MemoryVersion[] {
    return this.history.get(key) ?? [];
  }

  /** The newest version at or below `ts`, intents ignored. */
  versionAt(key: Key, ts: Timestamp): MemoryVersion | undefined {
    return this.versions(key).find((version) => version.commitTs <= ts);
  }

  /** True once nothing is locked or in doubt. */
  get quiet(): boolean {
    return this.intents.size === 0 && this.shared.size === 0;
  }

  prepare(work: Work<string>, prepTs: Timestamp): PrepareOutcome {
    const { outcome, changes } = prepare(this, work, prepTs);
    this.apply(changes);
    return outcome;
  }

  commitOnePhase(work: Work<string>, commitTs: Timestamp): PrepareOutcome {
    const { outcome, changes } = commitOnePhase(this, work, commitTs);
    this.apply(changes);
    return outcome;
  }

  decide(txn: TxnHandle, proposal: Decision, participants: readonly ShardId[] = []): Decision {
    const { outcome, changes } = decide<string>(this, this.id, txn, proposal, participants);
    this.apply(changes);
    return outcome;
  }

  resolve(txn: TxnHandle, outcome: Decision): void {
    this.apply(resolve<string>(this, txn, outcome));
  }

  clone(): MemoryShard {
    const copy = new MemoryShard(this.id);
    for (const [key, value] of this.participations) copy.participations.set(key, value);
    for (const [key, value] of this.decisions) copy.decisions.set(key, value);
    for (const [key, value] of this.intents) copy.intents.set(key, value);
    for (const [key, value] of this.shared) copy.shared.set(key, value);
    for (const [key, value] of this.history) copy.history.set(key, value);
    return copy;
  }

  /** Equal strings are equal states; timestamps in it are written `@17`. */
  fingerprint(): string {
    const part = (map: ReadonlyMap<string, unknown>): string =>
      JSON.stringify(
        [...map].sort(([a], [b]) => (a < b ? -1 : 1)),
        (_key, value: unknown) => (typeof value === 'bigint' ? `@${value}` : value),
      );
    return [this.participations, this.decisions, this.intents, this.shared, this.history].map(part).join('|');
  }

  private apply(changes: readonly Change<string>[]): void {
    for (const change of changes) this.applyOne(change);
  }

  private applyOne(change: Change<string>): void {
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
      case 'commit-intent': {
        const intent = this.intents.get(change.key);
        if (intent === undefined) throw new Error(`no intent on ${change.key}`);
        this.intents.delete(change.key);
        this.write(change.key, change.commitTs, intent.value);
        return;
      }
      case 'put-version':
        this.write(change.key, change.commitTs, change.value);
        return;
    }
  }

  private write(key: Key, commitTs: Timestamp, value: string): void {
    this.history.set(key, [{ commitTs, value }, ...this.versions(key)]);
  }
}
