import type { Timers } from '@synod/runtime';

/** Between two steps, so that a compaction leaves room for requests. */
const PAUSE_US = 10_000;

/** Removes what a compaction made unreachable, step by step through the log, while this member leads. */
export class CompactionSteps {
  private stepping = false;
  private stopped = false;

  constructor(
    private readonly timers: Timers,
    private readonly state: {
      readonly leads: () => boolean;
      readonly pending: () => boolean;
      /** Proposes one step. Never rejects. */
      readonly step: () => Promise<unknown>;
    },
  ) {}

  /** Goes on if something is left to remove: called whenever that may be. */
  begin(delayUs = 0): void {
    if (this.stepping || !this.state.leads() || !this.state.pending()) return;
    this.stepping = true;
    this.timers.after(delayUs, () => {
      if (this.stopped || !this.state.leads()) {
        this.stepping = false;
        return;
      }
      void this.state.step().then(() => {
        this.stepping = false;
        this.begin(PAUSE_US);
      });
    });
  }

  stop(): void {
    this.stopped = true;
  }
}
