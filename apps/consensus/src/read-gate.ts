import { invariant } from '@synod/invariant';
import type { Timers } from '@synod/runtime';

interface Waiter {
  /** How many rounds had begun when it came. */
  readonly after: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Lets reads through in groups: all that waited when a round began pass when it succeeds, and what comes meanwhile waits for the next.
 * Invariant `read-after-its-round-began`: a read passes only by a round that began after it came.
 */
export class ReadGate {
  private waiting: Waiter[] = [];
  private running = false;
  private rounds = 0;

  constructor(
    private readonly timers: Timers,
    /** Resolves once a read of the local store sees everything acknowledged before the call. */
    private readonly round: () => Promise<void>,
  ) {}

  pass(): Promise<void> {
    const passed = new Promise<void>((resolve, reject) => this.waiting.push({ after: this.rounds, resolve, reject }));
    this.runLater();
    return passed;
  }

  private runLater(): void {
    if (this.running) return;
    this.running = true;
    this.timers.after(0, () => void this.run());
  }

  private async run(): Promise<void> {
    const group = this.waiting;
    this.waiting = [];
    const round = ++this.rounds;
    try {
      await this.round();
      invariant(
        group.every(({ after }) => after < round),
        'read-after-its-round-began',
        () => `round ${round}`,
      );
      for (const { resolve } of group) resolve();
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
    this.running = false;
    if (this.waiting.length > 0) this.runLater();
  }
}
