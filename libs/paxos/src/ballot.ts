/** A member of one group's replica set. Allotted once by the group's configuration and never used again. */
export type ReplicaId = number;

/** A position in a group's log. The founding configuration is instance 0; commands start at 1. */
export type Instance = number;

/** A ballot: owned by one replica, totally ordered by round, then replica id (Lamport, "Paxos Made Simple", §2.2). */
export interface Ballot {
  /** Counts campaigns; 0 only in `NO_BALLOT`. A replica never uses a round twice, across restarts too. */
  readonly round: number;
  readonly replica: ReplicaId;
}

/** Below every real ballot. */
export const NO_BALLOT: Ballot = { round: 0, replica: 0 };

/** @returns negative, zero or positive as `a` is below, equal to or above `b` */
export function compareBallots(a: Ballot, b: Ballot): number {
  return a.round - b.round || a.replica - b.replica;
}

/** For logs and traces: `4.2` is round 4 of replica 2. */
export function formatBallot(ballot: Ballot): string {
  return `${ballot.round}.${ballot.replica}`;
}
