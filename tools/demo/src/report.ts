/** One thing that must hold, with what was seen. */
export interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

/** One part of the demo, with its figures. */
export interface Phase {
  readonly name: string;
  readonly seconds: number;
  readonly [figure: string]: number | string;
}

/** Collects what the demo saw, and tells it while it happens. */
export class Report {
  readonly checks: Check[] = [];
  readonly phases: Phase[] = [];

  constructor(private readonly write: (text: string) => void) {}

  /** A line of progress. */
  say(text: string): void {
    this.write(`${text}\n`);
  }

  check(name: string, ok: boolean, detail: string): void {
    this.checks.push({ name, ok, detail });
    this.say(`  ${ok ? 'ok    ' : 'FAILED'} ${name}: ${detail}`);
  }

  /** Runs a phase, timing it. What it returns are its figures. */
  async phase(name: string, run: () => Promise<Record<string, number | string>>): Promise<void> {
    this.say(`\n${name}`);
    const startedAt = performance.now();
    const figures = await run();
    const seconds = rounded((performance.now() - startedAt) / 1000);
    this.phases.push({ name, seconds, ...figures });
  }

  get ok(): boolean {
    return this.checks.length > 0 && this.checks.every((check) => check.ok);
  }
}

/** Times of single operations, in milliseconds. */
export class Latencies {
  private readonly times: number[] = [];

  async time<T>(operation: () => Promise<T>): Promise<T> {
    const startedAt = performance.now();
    const result = await operation();
    this.times.push(performance.now() - startedAt);
    return result;
  }

  figures(seconds: number): { operations: number; operationsPerSecond: number; p50Ms: number; p99Ms: number } {
    const sorted = this.times.toSorted((a, b) => a - b);
    const at = (share: number): number =>
      rounded(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
    return {
      operations: sorted.length,
      operationsPerSecond: Math.round(sorted.length / Math.max(seconds, 0.001)),
      p50Ms: at(0.5),
      p99Ms: at(0.99),
    };
  }
}

export function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}
