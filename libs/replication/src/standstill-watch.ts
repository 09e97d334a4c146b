import type { Clock } from '@synod/runtime';

/** How far the wall clock may get ahead of the monotonic one from one look to the next. Time daemons slew by less, and step rarely. */
const SLACK_MS = 100;

/**
 * Notices that the machine stood still and its monotonic clock with it, as that of a suspended machine does: the wall clock has gone on, or was set
 * right since. A step of the wall clock looks the same. Where neither clock shows it nobody can notice: docs/guarantees.md says so.
 */
export class StandstillWatch {
  private seen: { readonly monotonicUs: number; readonly wallMs: number } | undefined;

  constructor(private readonly clock: Clock) {}

  /** @returns whether it may have stood still since the last look */
  look(): boolean {
    const { seen } = this;
    const now = (this.seen = { monotonicUs: this.clock.monotonicUs(), wallMs: this.clock.wallMs() });
    if (seen === undefined) return false;
    return now.wallMs - seen.wallMs - (now.monotonicUs - seen.monotonicUs) / 1_000 > SLACK_MS;
  }
}
