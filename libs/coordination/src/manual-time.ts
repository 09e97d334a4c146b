import type { Cancel, Clock, Timers } from '@synod/runtime';

interface Alarm {
  readonly dueUs: number;
  readonly run: () => void;
}

/**
 * Time that stands still until told to go on: the clock and timers of specs that need no network or disk (the simulated world of
 * @synod/simulation has those). Equal due times run in the order they were set.
 */
export class ManualTime implements Clock, Timers {
  private nowUs = 0;
  private alarms: Alarm[] = [];

  constructor(private startWallMs = 1_700_000_000_000) {}

  monotonicUs(): number {
    return this.nowUs;
  }

  wallMs(): number {
    return this.startWallMs + Math.floor(this.nowUs / 1_000);
  }

  /** Sets the wall clock, as an operator or NTP does. */
  stepWall(byMs: number): void {
    this.startWallMs += byMs;
  }

  after(delayUs: number, run: () => void): Cancel {
    const alarm = { dueUs: this.nowUs + Math.max(0, delayUs), run };
    this.alarms.push(alarm);
    return () => {
      this.alarms = this.alarms.filter((other) => other !== alarm);
    };
  }

  /** Lets everything that needs no more time finish. */
  async settle(): Promise<void> {
    while (true) {
      await drainPromises();
      const due = this.nextDue();
      if (due === undefined || due.dueUs > this.nowUs) return;
      this.fire(due);
    }
  }

  /** Moves time on by `us`, running what falls due in order, each at its own time. */
  async advance(us: number): Promise<void> {
    const endUs = this.nowUs + us;
    await this.settle();
    for (let due = this.nextDue(); due !== undefined && due.dueUs <= endUs; due = this.nextDue()) {
      this.nowUs = due.dueUs;
      await this.settle();
    }
    this.nowUs = endUs;
  }

  /**
   * Moves time on until `promise` is settled, and returns what it returns.
   * @throws {Error} if it is not settled after `withinUs`, by default a minute
   */
  async until<T>(promise: Promise<T>, withinUs = 60_000_000): Promise<T> {
    let settled = false;
    const mark = (): void => void (settled = true);
    promise.then(mark, mark);
    const endUs = this.nowUs + withinUs;
    await this.settle();
    while (!settled) {
      const due = this.nextDue();
      if (due === undefined || due.dueUs > endUs) throw new Error(`nothing happens any more at ${this.nowUs} µs`);
      this.nowUs = due.dueUs;
      await this.settle();
    }
    return promise;
  }

  private nextDue(): Alarm | undefined {
    let first: Alarm | undefined;
    for (const alarm of this.alarms) if (first === undefined || alarm.dueUs < first.dueUs) first = alarm;
    return first;
  }

  private fire(alarm: Alarm): void {
    this.alarms = this.alarms.filter((other) => other !== alarm);
    alarm.run();
  }
}

/** Promise callbacks all run before the event loop's next turn. */
function drainPromises(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
