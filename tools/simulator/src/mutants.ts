/**
 * A bug planted by a source patch when the seed runner is bundled; no product path knows of it. The checks are worth something only if
 * each of these is caught.
 */
export interface Mutant {
  readonly name: string;
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
  'key-value-linearizable',
  'key-value-in-timestamp-order',
  'strictly-serializable',
  'bank-total-constant',
  'timestamps-increase',
];

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'vote-before-sync',
    breaks: 'A vote is on disk before it is sent.',
    file: 'libs/replication/src/replica-host.ts',
    find: 'void this.persist(records).then(() => {',
    replace: 'void this.persist(records);\n      void Promise.resolve().then(() => {',
    killedBy: ['acked-is-durable'],
    seed: 108,
  },
  {
    name: 'forget-a-promise',
    breaks: 'A restarted acceptor remembers what it promised.',
    file: 'libs/paxos/src/replica.ts',
    find: 'else this.acceptor.restore(record);',
    replace: "else if (record.kind === 'voted') this.acceptor.restore(record);",
    killedBy: ['acked-is-durable', 'one-command-per-instance'],
    seed: 3,
  },
  {
    name: 'carry-the-wrong-value',
    breaks: 'A new leader proposes the value of the highest ballot that phase 1 found.',
    file: 'libs/paxos/src/leadership.ts',
    find: 'this.found.carried.get(this.next) ?? NO_OP',
    replace: 'NO_OP',
    killedBy: ['one-command-per-instance', ...HISTORIES],
    seed: 4,
  },
  {
    name: 'read-without-confirmed-leadership',
    breaks: 'A read is served only after a majority confirmed the leader in a round sent after it began.',
    file: 'apps/storage-shard/src/host/reads.ts',
    find: 'await this.leadership.barrier();',
    replace: '',
    killedBy: HISTORIES,
    seed: 2,
  },
  {
    name: 'coordination-read-without-confirmation',
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
    breaks: 'A member answers a linearizable read once it has applied what the leader had.',
    file: 'apps/consensus/src/coordination-host.ts',
    find: 'await this.whenApplied(() => this.group.status().appliedThrough >= applied);',
    replace: 'void applied;',
    killedBy: HISTORIES,
    seed: 16,
  },
  {
    name: 'skip-read-validation',
    breaks: 'What a transaction read is still the newest version when it commits.',
    file: 'libs/two-phase-commit/src/participant.ts',
    find: 'if (view.newestVersion(key) !== version)',
    replace: 'if (view.newestVersion(key) < version)',
    killedBy: HISTORIES,
    seed: 2,
  },
  {
    name: 'ignore-an-intent',
    breaks: 'A read waits for a prepared transaction that may commit below its timestamp.',
    file: 'apps/storage-shard/src/host/reads.ts',
    find: 'return lock.prepTs <= readTs;',
    replace: 'return lock.prepTs < 0n && lock.prepTs <= readTs;',
    killedBy: HISTORIES,
    seed: 2,
  },
  {
    name: 'commit-without-all-votes',
    breaks: 'Two-phase commit needs every participant’s yes.',
    file: 'libs/two-phase-commit/src/coordinator.ts',
    find: 'if (!participants.every((shard) => votes.has(shard))) return [];',
    replace: 'if (participants.length === 0) return [];',
    killedBy: ['commit-needs-every-vote', 'commit-ts-is-max-prep-ts', 'decision-never-changes', ...HISTORIES],
    seed: 2,
  },
  {
    name: 'ignore-a-latch',
    breaks: 'A read waits for a writer that holds its keys and has no timestamp yet.',
    file: 'apps/storage-shard/src/host/reads.ts',
    find: 'if (this.latches.blocksRead(key)) blockers.push({ key, lock: undefined });',
    replace: '',
    killedBy: HISTORIES,
    seed: 11,
  },
  {
    name: 'unknown-reported-as-aborted',
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
    breaks: 'A new holder of the oracle starts above the bound that the last one logged.',
    file: 'libs/coordination/src/oracle.ts',
    find: 'const base = oldBound > wall ? oldBound : wall;',
    replace: 'const base = wall;',
    killedBy: ['prep-ts-after-locks', ...HISTORIES],
    seed: 15,
  },
  {
    name: 'snapshot-of-another-index',
    breaks: 'A snapshot comes with the applied index of the very state that is in it.',
    file: 'libs/replication/src/snapshot-server.ts',
    find: 'const snapshot = { snapshotId, appliedThrough, configuration };',
    replace: 'const snapshot = { snapshotId, appliedThrough: appliedThrough + 1, configuration };',
    killedBy: ['replicas-agree', 'snapshot-is-of-its-index', ...HISTORIES],
    seed: 10,
  },
  {
    name: 'truncation-past-the-flushed-index',
    breaks: 'The log gives up only what the store has flushed.',
    file: 'libs/replication/src/replica-host.ts',
    find: 'await this.options.store.flush();\n    if (this.stopped) return;',
    replace: 'await Promise.resolve();\n    if (this.stopped) return;',
    killedBy: ['truncated-is-applied', 'applied-is-logged'],
    seed: 10,
  },
  {
    name: 'state-outside-the-log',
    breaks: 'Applying a command is a function of the replicated state alone.',
    file: 'apps/consensus/src/state/state-machine.ts',
    find: 'const { authority, command } = decodeCommand(bytes);',
    replace:
      "const { authority, command } = decodeCommand(bytes);\n    const self = this as unknown as { n?: number };\n    self.n = (self.n ?? 0) + 1;\n    if (self.n % 50 === 0) transaction.put(Buffer.from('\\x01z'), Buffer.from(String(self.n)));",
    killedBy: ['replicas-are-equal'],
    seed: 3,
  },
  {
    name: 'reduce-before-all-maps',
    breaks: 'A reduce begins when every map is done.',
    file: 'libs/mapreduce/src/scheduler.ts',
    find: 'return this.maps.completedCount === this.maps.size;',
    replace: 'return this.maps.completedCount > 0;',
    killedBy: ['reduce-after-all-maps', 'output-equals-sequential'],
    seed: 1,
  },
];
