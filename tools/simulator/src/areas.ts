import { runClusterSeed } from './cluster-area';
import { runConsensusSeed } from './consensus/consensus-area';
import { CLUSTER_STATES, CONSENSUS_STATES } from './rare-states';
import type { SeedResult } from './seed-result';
import type { SeedOptions } from './seed-run';

/** What a seed simulates: the whole cluster, or the consensus service alone, at a tenth of the cost. */
export type AreaName = 'cluster' | 'consensus';

interface Area {
  /** Never rejects. */
  readonly runSeed: (options: SeedOptions) => Promise<SeedResult>;
  /** States that a campaign must have reached at least once: what is never reached is not tested. */
  readonly rareStates: readonly string[];
  /** A campaign of fewer seeds says nothing about them. */
  readonly rareStatesFromSeeds: number;
}

export const AREAS: Readonly<Record<AreaName, Area>> = {
  cluster: { runSeed: runClusterSeed, rareStates: CLUSTER_STATES, rareStatesFromSeeds: 200 },
  consensus: { runSeed: runConsensusSeed, rareStates: CONSENSUS_STATES, rareStatesFromSeeds: 1000 },
};
