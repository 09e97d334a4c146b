/**
 * States that a healthy group rarely sees, by the names under which `Effects.reached` reports them. A simulation that never meets
 * one of them proves nothing about it.
 */
export const RARE_STATES = [
  /** Phase 1 found a vote that the new leader must carry. */
  'paxos.vote-carried',
  /** Phase 1 found an instance without a vote below one with a vote. */
  'paxos.hole-filled',
  /** A value was chosen after a leader of a higher ballot had begun: it changed nothing. */
  'paxos.value-fenced',
  /** A promise did not fit one page. */
  'paxos.promise-paged',
  /** A new leader knew less of the log than a member of its phase 1 quorum. */
  'paxos.leader-behind-its-quorum',
  /** A candidate met a higher ballot. */
  'paxos.candidate-outbid',
  /** A leader met a higher ballot. */
  'paxos.leader-outbid',
  /** A leader stepped down because no majority answered it. */
  'paxos.check-quorum-failed',
  /** A leader stepped down because its own vote was not on disk in time. */
  'paxos.disk-stuck',
  /** A replica that hears its leader refused to support another. */
  'paxos.probe-refused',
  /** An accept was sent again. */
  'paxos.accept-repeated',
  /** A read waited for a round after the one in flight. */
  'paxos.read-waited-for-next-round',
  /** Reads were answered by a lease. Only where there are leases. */
  'paxos.read-by-lease',
  /** A promise, or the support for a campaign, was held back because of a lease. Only where there are leases. */
  'paxos.promise-held-back',
  /** Reads that waited were refused because leadership was lost. */
  'paxos.reads-refused',
  /** A proposal waited behind another, for the window or for the end of phase 1. */
  'paxos.proposal-queued',
  /** A replica held a vote for a chosen instance, in another ballot than the leader that announced it. */
  'paxos.vote-not-of-announcer',
  /** A page of chosen values was learned from a peer. */
  'paxos.caught-up',
  /** A replica campaigned because its leader asked it to. */
  'paxos.took-over',
  /** A leader that wanted to hand over went on, because nobody took over in time. */
  'paxos.handover-given-up',
  /** A change of the configuration was chosen. */
  'paxos.configuration-changed',
  /** A proposal waited because a change was open, or a change because proposals were. */
  'paxos.change-waited',
  /** A voter was not removed before those who stay knew what it knows. */
  'paxos.removal-waited',
  /** A new leader or candidate met another configuration than the one it had asked for promises, and asked again. */
  'paxos.prepared-again',
  /** A leader was removed by the change that it proposed. */
  'paxos.leader-removed',
  /** A change did not follow from the configuration that it met. */
  'paxos.change-conflict',
  /** A watermark reached a vote that was not on this disk yet. */
  'paxos.chosen-before-synced',
  /** A replica forgot the old end of its log. */
  'paxos.log-truncated',
  /** A replica missed what a peer had forgotten. */
  'paxos.snapshot-needed',
  /** A replica went on from a peer's state. */
  'paxos.snapshot-installed',
  /** An accept came for an instance that was forgotten here. */
  'paxos.accept-below-truncation',
  /** A replica that was behind held as many votes as it may. */
  'paxos.vote-withheld',
] as const;

export type RareState = (typeof RARE_STATES)[number];
