import type { Probes } from '@synod/runtime';

/** Counts how often each rare state was reached. A campaign adds its seeds up and fails if a listed state never was. */
export class SometimesRegistry implements Probes {
  private readonly hits = new Map<string, number>();

  sometimes(state: string): void {
    this.hits.set(state, (this.hits.get(state) ?? 0) + 1);
  }

  count(state: string): number {
    return this.hits.get(state) ?? 0;
  }

  /** By state, in the order of their first hits. */
  counts(): ReadonlyMap<string, number> {
    return this.hits;
  }
}
