import { invariant } from '@synod/invariant';
import { admit, fateOf, sameDecision, type Decision } from './decision';
import type { Change, Lock, ParticipantState, ShardView } from './shard-view';
import { sameTxn, txnName, type Key, type ShardId, type Timestamp, type TxnAttempt, type TxnHandle } from './words';

/** What a transaction read and wants to write at one shard. */
export interface Work<V> {
  readonly attempt: TxnAttempt;
  /** `version`: commit timestamp of what was seen, 0 for nothing. */
  readonly reads: readonly { readonly key: Key; readonly version: Timestamp }[];
  readonly writes: readonly { readonly key: Key; readonly value: V }[];
}

/** Why a shard cannot take an attempt now. Nothing of it remains there. */
export type Refusal =
  /** A key read has a newer version: the transaction must run again. */
  | { readonly kind: 'changed'; readonly key: Key }
  | { readonly kind: 'locked'; readonly key: Key; readonly holder: Lock }
  /** An earlier attempt of the same transaction is in doubt here. It must be decided first, for it might commit. */
  | { readonly kind: 'earlier-attempt'; readonly earlier: Lock }
  /** A later attempt of the same transaction came first. */
  | { readonly kind: 'stale-attempt'; readonly attempt: number };

export type PrepareOutcome =
  | { readonly kind: 'prepared'; readonly prepTs: Timestamp }
  /** Too late: the transaction is decided. */
  | { readonly kind: 'decided'; readonly record: Decision }
  | { readonly kind: 'refused'; readonly refusal: Refusal };

export interface Verdict<O, V> {
  readonly outcome: O;
  readonly changes: readonly Change<V>[];
}

/**
 * What stands in the way of an attempt, before anything is locked: the leader asks before it spends a timestamp and a log entry, and
 * every replica asks again when it applies the entry.
 * @returns undefined if the shard can say yes
 */
export function obstacle<V>(view: ShardView, work: Work<V>): PrepareOutcome | undefined {
  return ownState(view, work.attempt) ?? conflict(view, work);
}

/** What the shard already knows of this very transaction. */
function ownState(view: ShardView, { txn, attempt }: TxnAttempt): PrepareOutcome | undefined {
  const record = view.decision(txn);
  if (record.state !== 'none' && fateOf(attempt, record) !== 'undecided') return { kind: 'decided', record };
  const state = view.participation(txn);
  switch (state.phase) {
    case 'working':
      return undefined;
    case 'prepared':
      if (state.lock.attempt === attempt) return { kind: 'prepared', prepTs: state.lock.prepTs };
      if (state.lock.attempt < attempt) return refused({ kind: 'earlier-attempt', earlier: state.lock });
      return refused({ kind: 'stale-attempt', attempt: state.lock.attempt });
    case 'committed':
      return { kind: 'decided', record: { state: 'committed', attempt: state.attempt, commitTs: state.commitTs } };
    case 'aborted':
      if (state.attempt < attempt) return undefined;
      return { kind: 'decided', record: { state: 'aborted', attempt: state.attempt } };
  }
}

/** What other transactions did, or are doing, to the same keys. */
function conflict<V>(view: ShardView, { attempt, reads, writes }: Work<V>): PrepareOutcome | undefined {
  for (const { key, version } of reads) {
    // Read validation (Kung & Robinson, "On Optimistic Methods for Concurrency Control", TODS 1981): what was read is still newest.
    if (view.newestVersion(key) !== version) return refused({ kind: 'changed', key });
  }
  for (const { key } of writes) {
    const holder = otherThan(attempt, [view.intent(key), ...view.sharedLocks(key)]);
    if (holder !== undefined) return refused({ kind: 'locked', key, holder });
  }
  for (const { key } of reads) {
    const holder = otherThan(attempt, [view.intent(key)]);
    if (holder !== undefined) return refused({ kind: 'locked', key, holder });
  }
  return undefined;
}

function otherThan(attempt: TxnAttempt, locks: readonly (Lock | undefined)[]): Lock | undefined {
  return locks.find((lock) => lock !== undefined && !sameTxn(lock.txn, attempt.txn));
}

function refused(refusal: Refusal): PrepareOutcome {
  return { kind: 'refused', refusal };
}

/**
 * Phase 1 at one shard, applied from its log. A yes puts intents on the keys written and shared locks on those only read, all of
 * them replicated: a lock that one failover could lose would let a stale read commit. A repeat gets the first answer.
 * @param prepTs taken from the oracle while the leader held the keys
 */
export function prepare<V>(view: ShardView, work: Work<V>, prepTs: Timestamp): Verdict<PrepareOutcome, V> {
  const found = obstacle(view, work);
  if (found !== undefined) return { outcome: found, changes: [] };
  assertAfterLocks(view, work, prepTs);
  const { exclusive, shared } = lockSet(work);
  const lock: Lock = { ...work.attempt, prepTs };
  const changes: Change<V>[] = [
    { kind: 'participation', txn: lock.txn, state: { phase: 'prepared', lock, exclusive, shared } },
  ];
  for (const { key, value } of work.writes) changes.push({ kind: 'put-intent', key, lock, value });
  for (const key of shared) changes.push({ kind: 'put-shared-lock', key, lock });
  return { outcome: { kind: 'prepared', prepTs }, changes };
}

/**
 * A whole transaction at the only shard it touches, which is then also its anchor: one log entry writes the versions and the record.
 * A repeat finds the record and returns the same commit timestamp.
 */
export function commitOnePhase<V>(view: ShardView, work: Work<V>, commitTs: Timestamp): Verdict<PrepareOutcome, V> {
  const found = obstacle(view, work);
  if (found?.kind === 'prepared') {
    // Somebody runs the same attempt in two phases. It is that one's to decide.
    return { outcome: refused({ kind: 'stale-attempt', attempt: work.attempt.attempt }), changes: [] };
  }
  if (found !== undefined) return { outcome: found, changes: [] };
  assertAfterLocks(view, work, commitTs);
  const { txn, attempt } = work.attempt;
  const record = admit(view.decision(txn), { state: 'committed', attempt, commitTs });
  const changes: Change<V>[] = [{ kind: 'decision', txn, record }];
  for (const { key, value } of work.writes) changes.push({ kind: 'put-version', key, commitTs, value });
  return { outcome: { kind: 'decided', record }, changes };
}

/** Keys read and written need no second lock: the intent is the stronger one. */
function lockSet<V>(work: Work<V>): { exclusive: Key[]; shared: Key[] } {
  const exclusive = new Set(work.writes.map(({ key }) => key));
  const shared = new Set(work.reads.map(({ key }) => key).filter((key) => !exclusive.has(key)));
  return { exclusive: [...exclusive], shared: [...shared] };
}

/** Invariant `prep-ts-after-locks`: whoever held these keys before committed below this timestamp. */
function assertAfterLocks<V>(view: ShardView, work: Work<V>, ts: Timestamp): void {
  for (const { key } of [...work.writes, ...work.reads]) {
    const newest = view.newestVersion(key);
    invariant(
      newest < ts,
      'prep-ts-after-locks',
      () => `${txnName(work.attempt.txn)} took ${ts}, its key has version ${newest}`,
    );
  }
}

/**
 * The decision record's compare-and-set, at the anchor. If the anchor is also a participant, it is resolved by the same entry.
 * @param participants every shard that voted; empty when the proposer does not know them (recovery, always to abort)
 */
export function decide<V>(
  view: ShardView,
  self: ShardId,
  txn: TxnHandle,
  proposal: Decision,
  participants: readonly ShardId[],
): Verdict<Decision, V> {
  invariant(txn.anchor === self, 'one-record-per-transaction', () => `${txnName(txn)} is decided at shard ${self}`);
  const before = view.decision(txn);
  const record = admit(before, proposal);
  const state = view.participation(txn);
  const changes: Change<V>[] = [];
  if (!sameDecision(before, record)) {
    if (record.state === 'committed' && participants.includes(self)) assertVoted(state, record);
    changes.push({ kind: 'decision', txn, record });
  }
  if (state.phase === 'prepared') changes.push(...resolve<V>(view, txn, record));
  return { outcome: record, changes };
}

/** Invariant `commit-needs-every-vote`, as far as the anchor can see it: its own. */
function assertVoted(state: ParticipantState, { attempt, commitTs }: Decision & { state: 'committed' }): void {
  const voted = state.phase === 'prepared' && state.lock.attempt === attempt;
  invariant(voted, 'commit-needs-every-vote', () => `attempt ${attempt} commits, but its anchor is ${state.phase}`);
  invariant(
    state.lock.prepTs <= commitTs,
    'commit-ts-is-max-prep-ts',
    () => `${commitTs} is below ${state.lock.prepTs}`,
  );
}

/**
 * Phase 2 at one shard: does what the record says with whatever the transaction left here. Idempotent, and harmless in any order:
 * what is not of the attempt that committed goes, what is of a later attempt than the one aborted stays.
 */
export function resolve<V>(view: ShardView, txn: TxnHandle, outcome: Decision): readonly Change<V>[] {
  const state = view.participation(txn);
  switch (state.phase) {
    case 'working':
      return [ended(txn, outcome)];
    case 'prepared':
      return resolvePrepared(state, outcome);
    case 'committed':
      invariant(fateOf(state.attempt, outcome) !== 'aborted', 'decision-never-changes', () =>
        contradiction(txn, state, outcome),
      );
      return [];
    case 'aborted': {
      if (outcome.state === 'aborted') return outcome.attempt > state.attempt ? [ended(txn, outcome)] : [];
      invariant(outcome.attempt > state.attempt, 'decision-never-changes', () => contradiction(txn, state, outcome));
      return [ended(txn, outcome)];
    }
  }
}

/**
 * An attempt is one set of keys, so a commit below this shard's own `prep_ts` was decided without this shard's vote: somebody sent
 * other work under the same attempt. What is here was then never part of the transaction. It goes, rather than stop every replica
 * for a client's mistake.
 */
function resolvePrepared<V>(state: ParticipantState & { phase: 'prepared' }, outcome: Decision): Change<V>[] {
  const { txn, attempt, prepTs } = state.lock;
  const fate = fateOf(attempt, outcome);
  if (fate === 'undecided') return [];
  const changes: Change<V>[] = [ended(txn, outcome)];
  if (fate === 'committed' && outcome.state === 'committed' && prepTs <= outcome.commitTs) {
    const { commitTs } = outcome;
    for (const key of state.exclusive) changes.push({ kind: 'commit-intent', key, commitTs });
  } else {
    for (const key of state.exclusive) changes.push({ kind: 'drop-intent', key });
  }
  for (const key of state.shared) changes.push({ kind: 'drop-shared-lock', key, txn });
  return changes;
}

function ended<V>(txn: TxnHandle, outcome: Decision): Change<V> {
  const state: ParticipantState =
    outcome.state === 'committed'
      ? { phase: 'committed', attempt: outcome.attempt, commitTs: outcome.commitTs }
      : { phase: 'aborted', attempt: outcome.attempt };
  return { kind: 'participation', txn, state };
}

function contradiction(txn: TxnHandle, state: ParticipantState, outcome: Decision): string {
  return `${txnName(txn)} is ${state.phase} here and told ${outcome.state}(${outcome.attempt})`;
}
