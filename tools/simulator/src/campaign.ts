import type { SeedResult } from './seed-result';

/** What a campaign of seeds did, added up. */
export class Campaign {
  readonly failures: SeedResult[] = [];
  seeds = 0;
  acknowledged = 0;
  unknown = 0;
  leaderChanges = 0;
  virtualSeconds = 0;
  cpuSeconds = 0;
  readonly faults = new Map<string, number>();
  /** By rare state: how often it was reached, and in how many seeds. */
  readonly states = new Map<string, { hits: number; seeds: number; first: number }>();

  add(result: SeedResult): void {
    this.seeds++;
    this.acknowledged += result.acknowledged;
    this.unknown += result.unknown;
    this.leaderChanges += result.leaderChanges;
    this.virtualSeconds += result.virtualSeconds;
    this.cpuSeconds += result.cpuSeconds;
    for (const [kind, count] of Object.entries(result.faults)) {
      this.faults.set(kind, (this.faults.get(kind) ?? 0) + count);
    }
    for (const [state, hits] of Object.entries(result.states)) {
      const known = this.states.get(state) ?? { hits: 0, seeds: 0, first: result.seed };
      this.states.set(state, {
        hits: known.hits + hits,
        seeds: known.seeds + 1,
        first: Math.min(known.first, result.seed),
      });
    }
    if (result.fault !== undefined) this.failures.push(result);
  }

  /** The rare states of `wanted` that no seed reached. */
  neverReached(wanted: readonly string[]): string[] {
    return wanted.filter((state) => !this.states.has(state));
  }

  /** The closing lines: seeds, operations, faults by kind, leader changes, rare states. */
  lines(wanted: readonly string[]): string[] {
    const rate = (this.virtualSeconds / Math.max(this.cpuSeconds, 0.001)).toFixed(1);
    const perSeed = (this.cpuSeconds / Math.max(this.seeds, 1)).toFixed(2);
    return [
      `seeds: ${this.seeds}, ${this.virtualSeconds.toFixed(0)} virtual s, ${perSeed} CPU s per seed, ${rate} virtual s per CPU s`,
      `operations: ${this.acknowledged} acknowledged, ${this.unknown} unknown`,
      `faults: ${
        sorted(this.faults)
          .map(([kind, count]) => `${kind} ${count}`)
          .join(', ') || 'none'
      }`,
      `leader changes: ${this.leaderChanges}`,
      'rare states (times / seeds / first seed):',
      ...wanted.map((state) => {
        const reached = this.states.get(state);
        return `  ${state}: ${reached === undefined ? 'never' : `${reached.hits} / ${reached.seeds} / ${reached.first}`}`;
      }),
    ];
  }
}

function sorted(map: ReadonlyMap<string, number>): [string, number][] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}
