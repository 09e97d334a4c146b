import { performance } from 'node:perf_hooks';
import type { Cancel, Clock, Timers } from './clock';

/** The machine's clocks. */
export const systemClock: Clock = {
  monotonicUs: () => Math.floor(performance.now() * 1_000),
  wallMs: () => Date.now(),
};

/** What `setTimeout` takes at most, about 24 days; longer delays go in legs. */
const LEG_MS_MAX = 2 ** 31 - 1;

/** The event loop's timers: `setImmediate` for 0, else `setTimeout` in legs until the delay is truly over. */
export const systemTimers: Timers = {
  after(delayUs: number, run: () => void): Cancel {
    if (delayUs <= 0) {
      const immediate = setImmediate(run);
      return () => clearImmediate(immediate);
    }
    const dueUs = systemClock.monotonicUs() + delayUs;
    let timeout: NodeJS.Timeout;
    const leg = (): void => {
      // setTimeout counts from when the current turn began, so it may be early by as long as that turn took.
      const leftUs = dueUs - systemClock.monotonicUs();
      if (leftUs <= 0) run();
      else timeout = setTimeout(leg, Math.min(Math.ceil(leftUs / 1_000), LEG_MS_MAX));
    };
    leg();
    return () => clearTimeout(timeout);
  },
};
