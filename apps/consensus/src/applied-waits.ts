import type { Timers } from '@synod/runtime';
import { EtcdError } from './state/errors';

interface Waiter {
  readonly done: () => boolean;
  readonly resolve: () => void;
}

/** Who waits for this member's state to get somewhere. */
export class AppliedWaits {
  private waiters: Waiter[] = [];

  constructor(
    private readonly timers: Timers,
    private readonly timeoutUs: number,
  ) {}

  /** @throws {EtcdError} (by rejection) `timed-out-apply` */
  until(done: () => boolean): Promise<void> {
    if (done()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const waiter = { done, resolve: () => void (cancel(), resolve()) };
      const cancel = this.timers.after(this.timeoutUs, () => {
        this.waiters = this.waiters.filter((other) => other !== waiter);
        reject(new EtcdError('timed-out-apply'));
      });
      this.waiters.push(waiter);
    });
  }

  /** Something was applied. */
  look(): void {
    const { waiters } = this;
    if (waiters.length === 0) return;
    this.waiters = waiters.filter(({ done }) => !done());
    for (const waiter of waiters) if (!this.waiters.includes(waiter)) waiter.resolve();
  }
}
