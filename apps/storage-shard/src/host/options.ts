/** Bounds of a shard's leader, each with its unit. */
export interface ShardHostOptions {
  /** How long an older transaction waits for a younger one's locks before it is told to start over. */
  readonly lockWaitUs: number;
  /** How long a read waits for writers that may commit below its timestamp; shorter than a client waits for one node. */
  readonly readWaitUs: number;
  /** An intent this old is asked about at its anchor by whoever waits for it; a commit takes less when nothing is wrong. */
  readonly askAfterUs: number;
  /** An intent this old is asked about by the sweeper, though nobody waits. */
  readonly sweepAfterUs: number;
  /**
   * The coordinator of an intent this old is presumed dead. Longer than any healthy commit: too short only costs retries, because
   * the compare-and-set of the record decides.
   */
  readonly expireAfterUs: number;
  /** Writes being handled at once; one more is refused as `overloaded`. */
  readonly writesInflightMax: number;
  /** Requests waiting for keys at once; one more is refused as `overloaded`. */
  readonly waitersMax: number;
  /** In-doubt transactions that one sweep asks about. */
  readonly sweepMax: number;
}

export const DEFAULT_SHARD_OPTIONS: ShardHostOptions = {
  lockWaitUs: 1_000_000,
  readWaitUs: 1_500_000,
  askAfterUs: 20_000,
  sweepAfterUs: 1_000_000,
  expireAfterUs: 5_000_000,
  writesInflightMax: 1_024,
  waitersMax: 2_048,
  sweepMax: 128,
};
