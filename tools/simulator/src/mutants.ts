import type { AreaName } from './areas';

/**
 * A bug planted by a source patch when the seed runner is bundled; no product path knows of it. The checks are worth something only if
 * each of these is caught.
 */
export interface Mutant {
  readonly name: string;
  /** Whose seeds hunt it. */
  readonly area: AreaName;
  /** The rule that it breaks. */
  readonly breaks: string;
  readonly file: string;
  /** Must occur exactly once in the file. */
  readonly find: string;
  readonly replace: string;
  /** The invariants and checkers that may catch it; anything else does not count. */
  readonly killedBy: readonly string[];
  /** A seed on which it is caught. */
  readonly seed: number;
}

/** What reads only the answers that clients got. */
const HISTORIES = [
  'coordination-linearizable',
  'coordination-in-revision-order',
  'watch-in-order',
  'watches-agree',
  'watch-complete',
  'serializable-reads-are-of-the-past',
  'lease-kept',
  'acknowledged-is-kept',
  'key-value-linearizable',
  'key-value-in-timestamp-order',
  'strictly-serializable',
  'bank-total-constant',
  'timestamps-increase',
];

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'vote-before-sync',
    area: 'consensus',
    breaks: 'A vote is on disk before it is sent.',
    file: 'libs/replication/src/replica-host.ts',
    find: 'void this.persist(records).then(() => {',
    replace: 'void this.persist(records);\n      void Promise.resolve().then(() => {',
    killedBy: ['acked-is-durable'],
    seed: 3,
  },
  {
    name: 'forget-a-promise',
    area: 'consensus',
    breaks: 'A restarted acceptor remembers what it promised.',
    file: 'libs/paxos/src/replica.ts',
    find: 'else this.acceptor.restore(record);',
    replace: "else if (record.kind === 'voted') this.acceptor.restore(record);",
    killedBy: ['acked-is-durable', 'one-command-per-instance'],
    seed: 3,
  },
  {
    name: 'carry-the-wrong-value',
    area: 'consensus',
    breaks: 'A new leader proposes the value of the highest ballot that phase 1 found.',
    file: 'libs/paxos/src/leadership.ts',
    find: 'this.found.carried.get(this.next) ?? NO_OP',
    replace: 'NO_OP',
    killedBy: ['one-command-per-instance', ...HISTORIES],
    seed: 6,
  },
  {
    name: 'read-without-confirmed-leadership',
    area: 'cluster',
    breaks: 'A read is served only after a majority confirmed the leader in a round sent after it began.',
    file: 'apps/storage-shard/src/host/reads.ts',
    find: 'await this.leadership.barrier();',
    replace: '',
    killedBy: HISTORIES,
    seed: 2,
  },
  {
    name: 'coordination-read-without-confirmation',
    area: 'consensus',
    breaks:
      'A linearizable range waits until a majority confirmed the leader, and this member has applied what it had.',
    file: 'apps/consensus/src/coordination-host.ts',
    find: "checkOperation(request, 'client', this.limits);\n    if (!serializable) await this.gate.pass();",
    replace: "checkOperation(request, 'client', this.limits);",
    killedBy: HISTORIES,
    seed: 7,
  },
  {
    name: 'read-before-applied',
    area: 'consensus',
    breaks: 'A member answers a linearizable read once it has applied what the leader had.',
    file: 'apps/consensus/src/coordination-host.ts',
    find: 'await this.whenApplied(() => this.group.status().appliedThrough >= applied);',
    replace: 'void applied;',
    killedBy: HISTORIES,
    seed: 2,
  },
  {
    name: 'skip-read-validation',
    area: 'cluster',
    breaks: 'What a transaction read is still the newest version when it commits.',
    file: 'libs/two-phase-commit/src/participant.ts',
    find: 'if (view.newestVersion(key) !== version)',
    replace: 'if (view.newestVersion(key) < version)',
    killedBy: HISTORIES,
    seed: 2,
  },
  {
    name: 'ignore-an-intent',
    area: 'cluster',
    breaks: 'A read waits for a prepared transaction that may commit below its timestamp.',
    file: 'apps/storage-shard/src/host/reads.ts',
    find: 'return lock.prepTs <= readTs;',
    replace: 'return lock.prepTs < 0n && lock.prepTs <= readTs;',
    killedBy: HISTORIES,
    seed: 2,
  },
  {
    name: 'commit-without-all-votes',
    area: 'cluster',
    breaks: 'Two-phase commit needs every participant’s yes.',
    file: 'libs/two-phase-commit/src/coordinator.ts',
    find: 'if (!participants.every((shard) => votes.has(shard))) return [];',
    replace: 'if (participants.length === 0) return [];',
    killedBy: ['commit-needs-every-vote', 'commit-ts-is-max-prep-ts', 'decision-never-changes', ...HISTORIES],
    seed: 2,
  },
  {
    name: 'ignore-a-latch',
    area: 'cluster',
    breaks: 'A read waits for a writer that holds its keys and has no timestamp yet.',
    file: 'apps/storage-shard/src/host/reads.ts',
    find: 'if (this.latches.blocksRead(key)) blockers.push({ key, lock: undefined });',
    replace: '',
    killedBy: HISTORIES,
    seed: 11,
  },
  {
    name: 'unknown-reported-as-aborted',
    area: 'cluster',
    breaks: 'A caller learns yes, no or unknown, never a guess.',
    file: 'libs/client/src/transaction-client.ts',
    find: "if (!(error instanceof SynodError) || error.kind !== 'outcome-unknown') throw error;\n      lineage.settled++;",
    replace:
      "if (!(error instanceof SynodError)) throw error;\n      if (error.kind === 'outcome-unknown') throw new SynodError('unavailable', error.message);",
    killedBy: HISTORIES,
    seed: 9,
  },
  {
    name: 'oracle-starts-at-the-wall-clock',
    area: 'consensus',
    breaks: 'A new holder of the oracle starts above the bound that the last one logged.',
    file: 'libs/coordination/src/oracle.ts',
    find: 'const base = oldBound > wall ? oldBound : wall;',
    replace: 'const base = wall;',
    killedBy: ['prep-ts-after-locks', ...HISTORIES],
    seed: 2,
  },
  {
    name: 'snapshot-of-another-index',
    area: 'consensus',
    breaks: 'A snapshot comes with the applied index of the very state that is in it.',
    file: 'libs/replication/src/snapshot-server.ts',
    find: 'const snapshot = { snapshotId, appliedThrough, term, configuration };',
    replace: 'const snapshot = { snapshotId, appliedThrough: appliedThrough + 1, term, configuration };',
    killedBy: ['replicas-agree', 'snapshot-is-of-its-index', ...HISTORIES],
    seed: 1,
  },
  {
    name: 'truncation-past-the-flushed-index',
    area: 'consensus',
    breaks: 'The log gives up only what the store has flushed.',
    file: 'libs/replication/src/replica-host.ts',
    find: 'await this.options.store.flush();\n    if (this.stopped) return;',
    replace: 'await Promise.resolve();\n    if (this.stopped) return;',
    killedBy: ['truncated-is-applied', 'applied-is-logged'],
    seed: 3,
  },
  {
    name: 'state-outside-the-log',
    area: 'consensus',
    breaks: 'Applying a command is a function of the replicated state alone.',
    file: 'apps/consensus/src/state/state-machine.ts',
    find: 'const { authority, command } = decodeCommand(bytes);',
    replace:
      "const { authority, command } = decodeCommand(bytes);\n    const self = this as unknown as { n?: number };\n    self.n = (self.n ?? 0) + 1;\n    if (self.n % 50 === 0) transaction.put(Buffer.from('\\x01z'), Buffer.from(String(self.n)));",
    killedBy: ['replicas-are-equal'],
    seed: 1,
  },
  {
    name: 'change-seen-one-instance-late',
    area: 'consensus',
    breaks: 'A member answers a linearizable read once it has applied all that the leader had, not all but the last.',
    file: 'apps/consensus/src/coordination-host.ts',
    find: 'await this.whenApplied(() => this.group.status().appliedThrough >= applied);',
    replace: 'await this.whenApplied(() => this.group.status().appliedThrough >= applied - 1);',
    killedBy: HISTORIES,
    seed: 18,
  },
  {
    name: 'configuration-not-stored',
    area: 'consensus',
    breaks: 'The configuration is stored in the transaction that applies its change: a restart goes on with it.',
    file: 'libs/replication/src/replica-host.ts',
    find: 'writeConfiguration(transaction, group.founding.group, latestIn(entries));',
    replace: 'latestIn(entries);',
    killedBy: [
      'configuration-follows-the-log',
      'one-voter-at-a-time',
      'one-command-per-instance',
      'replicas-agree',
      ...HISTORIES,
    ],
    seed: 2,
  },
  {
    name: 'ballot-reused-after-restart',
    area: 'consensus',
    breaks: 'A round that a replica has campaigned with is on its disk before anyone hears of it.',
    file: 'libs/paxos/src/acceptor.ts',
    find: "if (compareBallots(ballot, this.promised_) > 0) this.record({ kind: 'promised', ballot });",
    replace: "if (compareBallots(ballot, this.promised_) > 0) this.apply({ kind: 'promised', ballot });",
    killedBy: ['acked-is-durable', 'one-value-per-ballot', 'one-command-per-instance', ...HISTORIES],
    seed: 38,
  },
  {
    name: 'reduce-before-all-maps',
    area: 'cluster',
    breaks: 'A reduce begins when every map is done.',
    file: 'libs/mapreduce/src/scheduler.ts',
    find: 'return this.maps.completedCount === this.maps.size;',
    replace: 'return this.maps.completedCount > 0;',
    killedBy: ['reduce-after-all-maps', 'output-equals-sequential'],
    seed: 1,
  },
];
