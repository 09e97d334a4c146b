import type { Random } from '@synod/runtime';

/** 2^32 divided by the golden ratio: consecutive counters land far apart. */
const GOLDEN = 0x9e3779b9;

/** The 32-bit finalizer of MurmurHash3 (Appleby): every input bit changes each output bit with probability one half. */
function avalanche(word: number): number {
  let h = word;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** FNV-1a over UTF-16 code units: names of streams and entities are short, and hashed once per stream. */
export function hashText(text: string): number {
  let h = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) h = Math.imul(h ^ text.charCodeAt(index), 0x01000193);
  return avalanche(h);
}

/**
 * The `n`-th random 32-bit word about one thing. Keyed instead of taken from one shared generator, so that leaving out one fault or
 * one client operation leaves every other choice as it was: shrinking a failing seed depends on it.
 * @param seed an integer, 0 to 2^53 − 1
 * @param stream the kind of choice: `net`, `disk`, `nemesis`, `workload` …
 * @param entity whom it is about: a node, a link
 */
export function draw(seed: number, stream: string, entity: string, n: number): number {
  return new Draws(seed, stream, entity).at(n);
}

/** The choices about one thing, in order: `draw(seed, stream, entity, 0)`, `… 1)` and so on. */
export class Draws implements Random {
  private readonly high: number;
  private readonly low: number;
  private n = 0;

  constructor(seed: number, stream: string, entity: string) {
    const seedLow = seed >>> 0;
    const seedHigh = Math.floor(seed / 4294967296) >>> 0;
    this.high = avalanche(avalanche(seedLow ^ GOLDEN) ^ hashText(stream));
    this.low = avalanche(avalanche(this.high ^ seedHigh) + hashText(entity));
  }

  /** The word at one position, whatever was drawn before; uniform in `[0, 2^32)`. */
  at(n: number): number {
    return avalanche(avalanche(this.low + Math.imul(n, GOLDEN)) ^ this.high) >>> 0;
  }

  /** How many words were drawn so far. */
  get count(): number {
    return this.n;
  }

  next(): number {
    return this.at(this.n++);
  }

  /** A uniform integer in `[0, bound)`; `bound` is from 1 to 2^32. */
  below(bound: number): number {
    return Math.floor((this.next() / 4294967296) * bound);
  }

  /** A uniform integer in `[low, high]`. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** True in `numerator` of `denominator` cases. Integers, because thresholds in floating point invite drift. */
  chance(numerator: number, denominator: number): boolean {
    return this.below(denominator) < numerator;
  }

  /** An integer of exponential distribution, cut at ten times its mean. */
  exponential(mean: number): number {
    if (mean <= 0) return 0;
    // Engines may differ in the last bits of a logarithm: rounding at once keeps them out of the trace.
    const value = Math.round(-mean * Math.log(1 - this.next() / 4294967296));
    return Math.min(value, 10 * mean);
  }

  /** An integer in `[low, high]` whose logarithm is uniform: as many between 1 and 10 as between 100 and 1,000. */
  logUniform(low: number, high: number): number {
    return Math.round(low * Math.pow(high / low, this.next() / 4294967296));
  }

  /** One of the items. */
  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new RangeError('cannot pick one of no items');
    return item;
  }

  /** All items in a random order; the argument stays as it is. */
  shuffled<T>(items: readonly T[]): T[] {
    const result = [...items];
    for (let end = result.length; end > 1; end--) {
      const chosen = this.below(end);
      const last = result[end - 1] as T;
      result[end - 1] = result[chosen] as T;
      result[chosen] = last;
    }
    return result;
  }

  bytes(length: number): Buffer {
    const result = Buffer.alloc(length);
    for (let index = 0; index < length; index++) result[index] = this.next() & 0xff;
    return result;
  }
}
