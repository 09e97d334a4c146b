import type { Decision, DecisionRecord, ShardId, Timestamp, TxnHandle, Work } from '@synod/two-phase-commit';
import type { Value } from '../state/row-codec';

interface Attempt {
  readonly work: Work<Value>;
  readonly prepTs: Timestamp;
}

/**
 * A shard as slow and as obvious as can be: lists of what happened, searched from the start for every question. The twin that the
 * real state machine is compared with; shares no code with it.
 */
export class NaiveShard {
  /** Attempts that said yes, and have not ended here. */
  private prepared: Attempt[] = [];
  private readonly told: { txn: string; outcome: Decision }[] = [];
  private readonly records = new Map<string, Decision>();
  private readonly written: { key: string; ts: Timestamp; value: Value }[] = [];

  constructor(private readonly self: ShardId) {}

  /** @returns the kind of the answer, with the timestamp of a yes */
  prepare(work: Work<Value>, prepTs: Timestamp): string {
    const answer = this.answer(work);
    if (answer !== 'yes') return answer;
    this.prepared.push({ work, prepTs });
    return `prepared ${prepTs}`;
  }

  onePhase(work: Work<Value>, commitTs: Timestamp): string {
    const answer = this.answer(work);
    if (answer.startsWith('prepared')) return 'refused';
    if (answer !== 'yes') return answer;
    const { txn, attempt } = work.attempt;
    this.records.set(txn.id, { state: 'committed', attempt, commitTs });
    this.write(work, commitTs);
    return 'decided';
  }

  decide(txn: TxnHandle, proposal: Decision): Decision {
    const record = this.record(txn.id);
    const open = record.state === 'none' || (record.state === 'aborted' && record.attempt < proposal.attempt);
    const decided = open ? proposal : record;
    this.records.set(txn.id, decided);
    if (this.prepared.some(({ work }) => work.attempt.txn.id === txn.id)) this.resolve(txn, decided);
    return decided;
  }

  resolve(txn: TxnHandle, outcome: Decision): void {
    const mine = this.prepared.find(({ work }) => work.attempt.txn.id === txn.id);
    if (mine !== undefined) {
      if (outcome.state === 'aborted' && outcome.attempt < mine.work.attempt.attempt) return;
      this.prepared = this.prepared.filter((attempt) => attempt !== mine);
      if (outcome.state === 'committed' && outcome.attempt === mine.work.attempt.attempt)
        this.write(mine.work, outcome.commitTs);
    }
    this.told.push({ txn: txn.id, outcome });
  }

  record(txn: string): DecisionRecord {
    return this.records.get(txn) ?? { state: 'none' };
  }

  /** Whether anything is locked or in doubt. */
  get quiet(): boolean {
    return this.prepared.length === 0;
  }

  readAt(key: string, ts: Timestamp): { value: Value; version: Timestamp } {
    const newest = this.written
      .filter((version) => version.key === key && version.ts <= ts)
      .reduce<(typeof this.written)[number] | undefined>((a, b) => (a === undefined || b.ts > a.ts ? b : a), undefined);
    return { value: newest?.value, version: newest?.ts ?? 0n };
  }

  /** The lowest timestamp of an intent on a key, if any. */
  intentOn(key: string): Timestamp | undefined {
    return this.prepared.find(({ work }) => work.writes.some((write) => write.key === key))?.prepTs;
  }

  private answer({ attempt, reads, writes }: Work<Value>): string {
    const { id } = attempt.txn;
    const knows = (outcome: DecisionRecord): boolean =>
      outcome.state === 'committed' || (outcome.state === 'aborted' && outcome.attempt >= attempt.attempt);
    if (this.told.some(({ txn, outcome }) => txn === id && knows(outcome)) || knows(this.record(id))) return 'decided';
    const mine = this.prepared.find(({ work }) => work.attempt.txn.id === id);
    if (mine !== undefined)
      return mine.work.attempt.attempt === attempt.attempt ? `prepared ${mine.prepTs}` : 'refused';
    if (reads.some(({ key, version }) => this.readAt(key, 1n << 62n).version !== version)) return 'refused';
    for (const { work } of this.prepared) {
      const theirWrites = new Set(work.writes.map(({ key }) => key));
      const theirKeys = new Set([...theirWrites, ...work.reads.map(({ key }) => key)]);
      if (writes.some(({ key }) => theirKeys.has(key)) || reads.some(({ key }) => theirWrites.has(key)))
        return 'refused';
    }
    return 'yes';
  }

  private write({ writes }: Work<Value>, ts: Timestamp): void {
    for (const { key, value } of writes) this.written.push({ key, ts, value });
  }

  /** For messages of failing properties. */
  toString(): string {
    return `shard ${this.self}: ${this.prepared.length} in doubt, ${this.written.length} versions`;
  }
}
