import { RARE_STATES as PAXOS_STATES } from '@synod/paxos';

/** Of the whole cluster. What is rare in Paxos alone is the business of the consensus area, which reaches it amply. */
export const CLUSTER_STATES: readonly string[] = [
  'paxos.vote-carried',
  'paxos.leader-behind-its-quorum',
  'paxos.candidate-outbid',
  'paxos.leader-outbid',
  'paxos.check-quorum-failed',
  'paxos.probe-refused',
  'paxos.accept-repeated',
  'paxos.read-waited-for-next-round',
  'paxos.reads-refused',
  'paxos.proposal-queued',
  'paxos.caught-up',
  'paxos.log-truncated',
  'paxos.snapshot-needed',
  'paxos.snapshot-installed',
  'read-met-latch',
  'read-met-intent',
  'older-waited',
  'younger-died',
  'outcome-decided-by-asking',
  'decide-answer-lost',
  'completed-map-lost-with-its-worker',
  'late-word-of-a-lost-worker',
  'fetch-failed',
  'zombie',
];

/** Of the consensus service alone. */
export const CONSENSUS_STATES: readonly string[] = [
  // A promise of more than a page, or more votes than fit, take values of a size that would make every seed slow: libs/paxos has a simulation of its own.
  ...PAXOS_STATES.filter((state) => state !== 'paxos.promise-paged' && state !== 'paxos.vote-withheld'),
  'member-add',
  'member-promote',
  'member-remove',
  'leader-removal-asked',
  'removed-member-stopped',
  'blank-disk-came-back',
  'rot-was-named',
  'rotten-disk-came-back',
  'lease-checkpointed',
  'lease-expired',
  'leader-frozen',
  'lock-granted',
  'history-compacted',
  'compacted-was-refused',
  'watch-was-compacted',
  'outgrown',
];
