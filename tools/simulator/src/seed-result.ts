/** Why a seed failed. */
export interface SeedFault {
  /** The broken invariant or checker verdict, by name. */
  readonly name: string;
  /**
   * `invariant`: asserted by the product or seen by the simulator inside the cluster. `history`: found by a checker that read only what
   * clients saw. `liveness`: a healed cluster did not get well. `floor`: the seed did less than it must. `crash`: anything else.
   */
  readonly by: 'invariant' | 'history' | 'liveness' | 'floor' | 'crash';
  readonly message: string;
}

/** What one seed did, as the campaign adds it up. Plain data: it crosses a process boundary. */
export interface SeedResult {
  readonly seed: number;
  /** Of the trace: the same in every process of one commit and Node version. */
  readonly digest: string;
  readonly virtualSeconds: number;
  readonly events: number;
  readonly cpuSeconds: number;
  readonly acknowledged: number;
  readonly unknown: number;
  readonly leaderChanges: number;
  /** By kind: how many faults struck. */
  readonly faults: Readonly<Record<string, number>>;
  /** By name: how often each rare state was reached. */
  readonly states: Readonly<Record<string, number>>;
  readonly fault: SeedFault | undefined;
  /** The last lines of the trace, if the seed failed. */
  readonly trace: readonly string[];
}
