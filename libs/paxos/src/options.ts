import type { ReplicaId } from './ballot';
import type { Configuration } from './configuration';

/** Bounds and periods of a replica. A tick is the host's time step; hosts use tens of milliseconds. */
export interface ReplicaLimits {
  /** Instances proposed and not yet delivered, at most. Covers several round trips; bounds what a new leader finds in phase 1. */
  readonly windowInstances: number;
  /** Proposals waiting for the window, and reads waiting for a round, at most, each. One more is settled `overloaded`. */
  readonly queueMax: number;
  /** Ticks without an answer before a message is sent again. Above a slow round trip, so that a healthy group repeats nothing. */
  readonly retransmitTicks: number;
  /** Ticks without a majority before a candidate gives up, and before a leader stops believing that it leads. */
  readonly electionTicks: number;
  /** Bytes of values in one page of promises or of chosen entries. A page holds at least one value, whatever its size. */
  readonly pageBytes: number;
  /** Delivered instances kept in memory for peers that lag, at most, once the store holds them for good; beyond, they need a snapshot. */
  readonly tailInstances: number;
  /** Bytes of values in that tail, at most. */
  readonly tailBytes: number;
  /**
   * Bytes of values voted for and held by a replica that is being brought up to date, about: with more it gives no votes until it has
   * caught up. What is written while a state is fetched should fit: with less the replica needs another snapshot when it has the first.
   */
  readonly behindBytes: number;
}

/** The terms of the leases that a group's leaders are granted; members with other terms grant each other none, or shorter ones. */
export interface LeaseTerms {
  /** For how long whoever grants one holds its promises to others back, on its own clock, from when it answered. */
  readonly holdUs: number;
  /** For how long the leader counts on that, on its own clock, from before it asked. `leaseTerms` has what is safe. */
  readonly termUs: number;
}

export interface ReplicaOptions extends Partial<ReplicaLimits> {
  readonly self: ReplicaId;
  /** The founders of the group, the same on each replica. */
  readonly members: readonly ReplicaId[];
  /** The configuration after everything that the store has applied; the founding if absent. Names this replica. */
  readonly configuration?: Configuration | undefined;
  /** The configuration is from further up the log than the store has applied: this replica has just joined. */
  readonly ahead?: boolean | undefined;
  /** Leaders answer reads by leases, and others grant them. Without it every read asks a majority. */
  readonly leases?: LeaseTerms | undefined;
}

export const DEFAULT_LIMITS: ReplicaLimits = {
  windowInstances: 64,
  queueMax: 1_024,
  retransmitTicks: 5,
  electionTicks: 20,
  pageBytes: 256 << 10,
  tailInstances: 10_000,
  tailBytes: 16 << 20,
  behindBytes: 256 << 20,
};
