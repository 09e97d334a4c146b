/** Seeded chance and virtual time for `simulateJob`: a core has no other. */
export class SimulatedTime {
  /** Virtual microseconds. */
  now = 0;
  steps = 0;
  private state: number;
  private sequence = 0;
  /** Kept in order of (at, sequence): ties break by insertion, never by chance. */
  private readonly queue: { readonly at: number; readonly sequence: number; readonly run: () => void }[] = [];

  constructor(seed: number) {
    this.state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) >>> 0;
  }

  /** A uniform integer in `[0, bound)` (mulberry32). */
  below(bound: number): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound;
  }

  /** True in `per` of 1,000 cases. */
  chance(per: number): boolean {
    return this.below(1_000) < per;
  }

  pick<T>(items: readonly T[]): T | undefined {
    return items.length === 0 ? undefined : items[this.below(items.length)];
  }

  after(delayUs: number, run: () => void): void {
    const event = { at: this.now + delayUs, sequence: this.sequence++, run };
    let low = 0;
    let high = this.queue.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.queue[middle] as { at: number }).at <= event.at) low = middle + 1;
      else high = middle;
    }
    this.queue.splice(low, 0, event);
  }

  /** Runs the next event. @returns false when nothing is left to happen */
  step(): boolean {
    const event = this.queue.shift();
    if (event === undefined) return false;
    this.now = event.at;
    this.steps++;
    event.run();
    return true;
  }
}
