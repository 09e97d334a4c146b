import type { Random, Timers } from '@synod/runtime';

/**
 * Growing pauses with full jitter: uniform between nothing and a bound that doubles (Brooker, "Exponential Backoff And Jitter", AWS
 * 2015). Without the jitter those who failed together would come back together.
 */
export class Backoff {
  private boundUs: number;

  constructor(
    private readonly ports: { readonly timers: Timers; readonly random: Random },
    minUs: number,
    private readonly maxUs: number,
  ) {
    this.boundUs = minUs;
  }

  /** @param atMostUs what is left of the caller's time */
  pause(atMostUs: number): Promise<void> {
    const us = Math.min(1 + this.ports.random.below(this.boundUs), Math.max(0, atMostUs));
    this.boundUs = Math.min(this.maxUs, this.boundUs * 2);
    return new Promise((resolve) => {
      this.ports.timers.after(us, resolve);
    });
  }
}
