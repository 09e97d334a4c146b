/** Bounds of a coordinator, each with its unit. */
export interface CoordinatorOptions {
  /** Requests being handled at once; one more is answered `overloaded`. */
  readonly inflightMax: number;
  /** Commits whose phase 2 may still be going on after their client was answered; one more commit is answered `overloaded`. */
  readonly commitsMax: number;
  /** How long participants may take to vote. Covers a wait for a lock, 1 s, and the election of a shard's leader. */
  readonly prepareUs: number;
  /** From the start of a commit until its client is told "unknown" at the latest; clients wait a little longer. */
  readonly replyUs: number;
  /** For one request to a shard in phase 2, elections included. */
  readonly phaseTwoUs: number;
  /** How often what failed is tried again. */
  readonly tickUs: number;
  /** Resends of the decision, and of phase 2: what is left then is found and finished by whoever meets it. */
  readonly retriesMax: number;
  /** Transactions of thin clients that may be open; one more is answered `overloaded`. */
  readonly sessionsMax: number;
  /** A thin client's transaction without a call for that long is dropped. */
  readonly sessionIdleUs: number;
}

export const COORDINATOR_DEFAULTS: CoordinatorOptions = {
  inflightMax: 4_096,
  commitsMax: 8_192,
  prepareUs: 3_500_000,
  replyUs: 5_000_000,
  phaseTwoUs: 2_000_000,
  tickUs: 200_000,
  retriesMax: 5,
  sessionsMax: 1_024,
  sessionIdleUs: 60_000_000,
};
