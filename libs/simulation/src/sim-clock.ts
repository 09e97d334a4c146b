import type { Cancel, Clock, Timers } from '@synod/runtime';
import type { Owner } from './event-heap';
import type { World } from './world';

/** 2026-01-01 UTC: what the wall clocks of a world begin at. */
const WORLD_EPOCH_MS = 1_767_225_600_000;

/** How one machine's clocks differ from true time. */
export interface ClockError {
  /** Of the wall clock when the world begins. */
  readonly wallOffsetMs: number;
  /** How much faster than true time the monotonic clock and the timers run, in parts per million; within the bound that leases assume. */
  readonly driftPpm: number;
  /** The same for the wall clock, which promises nothing. */
  readonly wallDriftPpm: number;
}

export const EXACT: ClockError = { wallOffsetMs: 0, driftPpm: 0, wallDriftPpm: 0 };

/** The clocks of one machine: they run on while processes on it come and go. */
export class SimClock implements Clock {
  /** A machine does not boot when the world begins, so nobody can compare monotonic times of two machines and get away with it. */
  private bootUs: number;
  private steppedMs = 0;
  private error = EXACT;
  /** Monotonic time is `bootUs`, plus what had passed on it by `sinceUs`, plus true time from then on at the present rate. */
  private sinceUs = 0;
  private passedUs = 0;

  constructor(
    private readonly world: World,
    name: string,
  ) {
    this.bootUs = world.draws('clock', name).between(1, 1_000_000_000);
  }

  monotonicUs(): number {
    const elapsed = this.world.now - this.sinceUs;
    return this.bootUs + this.passedUs + elapsed + Math.floor((elapsed * this.error.driftPpm) / 1_000_000);
  }

  wallMs(): number {
    const trueUs = this.world.now + Math.floor((this.world.now * this.error.wallDriftPpm) / 1_000_000);
    return WORLD_EPOCH_MS + this.error.wallOffsetMs + this.steppedMs + Math.floor(trueUs / 1000);
  }

  /** Changes how wrong the clocks are from now on; the monotonic one does not jump by it. */
  setError(error: ClockError): void {
    this.passedUs = this.monotonicUs() - this.bootUs;
    this.sinceUs = this.world.now;
    this.error = error;
  }

  /** An administrator or a time daemon sets the wall clock. */
  stepWall(ms: number): void {
    this.steppedMs += ms;
  }

  /** True microseconds after which at least `localUs` have passed on the monotonic clock. */
  trueDelayUs(localUs: number): number {
    const { driftPpm } = this.error;
    return driftPpm === 0 ? localUs : Math.ceil((localUs * 1_000_000) / (1_000_000 + driftPpm)) + 1;
  }
}

/** The timers of one process, late as an event loop is. */
export function simTimers(world: World, clock: SimClock, name: string, owner: Owner): Timers {
  const { latenessUsMax, turnUsMax } = world.shape.timers;
  const draws = world.draws('timers', name);
  // Work for the end of one turn keeps its order, so the turns of a process never end earlier than one already set.
  let turnEndsUs = 0;
  return {
    after(delayUs: number, run: () => void): Cancel {
      if (delayUs > 0) {
        const lateUs = latenessUsMax === 0 ? 0 : draws.below(latenessUsMax + 1);
        return world.after(clock.trueDelayUs(Math.ceil(delayUs)) + lateUs, run, owner);
      }
      if (turnUsMax === 0) return world.after(0, run, owner);
      if (turnEndsUs <= world.now) turnEndsUs = world.now + draws.below(turnUsMax + 1);
      return world.after(turnEndsUs - world.now, run, owner);
    },
  };
}
