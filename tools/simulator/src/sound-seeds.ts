import type { AreaName } from './areas';
import type { SeedProcess } from './seed-pool';
import type { SeedResult } from './seed-result';

export type RunSeed = (area: AreaName, seed: number) => Promise<SeedResult>;

/** Seeds without a planted bug. A seed has one result, so each is run once, for whichever hunt asks first. */
export class SoundSeeds {
  private readonly results = new Map<string, Promise<SeedResult>>();

  /** @param process runs what no hunt has asked for before */
  runOn(process: SeedProcess): RunSeed {
    return (area, seed) => {
      const key = `${area} ${seed}`;
      let result = this.results.get(key);
      if (result === undefined) {
        result = process.run(area, seed);
        this.results.set(key, result);
      }
      return result;
    };
  }
}
