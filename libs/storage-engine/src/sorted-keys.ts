/** Splits above this: small enough that moving half a run is cheap, large enough that finding the run is too. */
const RUN_LENGTH_MAX = 256;

/**
 * A sorted set of strings, as a list of sorted runs: a B-tree of two levels, which is plenty for the few thousand keys of a
 * memtable. The strings are keys as latin1, one character a byte, so that `<` is unsigned byte order and runs at machine speed.
 */
export class SortedKeys implements Iterable<string> {
  private readonly runs: string[][] = [];

  /** Adds a key that is not there yet. */
  add(key: string): void {
    const index = Math.max(0, this.lastRunFrom(key));
    const run = this.runs[index];
    if (run === undefined) {
      this.runs.push([key]);
      return;
    }
    run.splice(countBelow(run, key), 0, key);
    if (run.length > RUN_LENGTH_MAX) this.runs.splice(index + 1, 0, run.splice(run.length >> 1));
  }

  /** Takes out a key that is there. */
  delete(key: string): void {
    const index = this.lastRunFrom(key);
    const run = this.runs[index] ?? [];
    run.splice(countBelow(run, key), 1);
    if (run.length === 0) this.runs.splice(index, 1);
  }

  /** The first key ≥ `key`. */
  atOrAfter(key: string): string | undefined {
    const index = Math.max(0, this.lastRunFrom(key));
    const run = this.runs[index] ?? [];
    return run[countBelow(run, key)] ?? this.runs[index + 1]?.[0];
  }

  /** The first key > `key`. */
  after(key: string): string | undefined {
    const found = this.atOrAfter(key);
    return found === key ? this.atOrAfter(`${key}\0`) : found;
  }

  /** The last key < `key`. */
  before(key: string): string | undefined {
    const index = this.lastRunFrom(key);
    const run = this.runs[index] ?? [];
    return run[countBelow(run, key) - 1] ?? this.runs[index - 1]?.at(-1);
  }

  *[Symbol.iterator](): Iterator<string> {
    for (const run of this.runs) yield* run;
  }

  /** The last run whose first key is ≤ `key`; -1 if there is none. */
  private lastRunFrom(key: string): number {
    let low = 0;
    let high = this.runs.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.runs[middle]?.[0] ?? '') <= key) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

function countBelow(run: readonly string[], key: string): number {
  let low = 0;
  let high = run.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((run[middle] ?? '') < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
