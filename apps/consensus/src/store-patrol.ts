import { SynodError, type Cancel, type Log, type Timers } from '@synod/runtime';

/** Between two stretches, of two milliseconds each: a million keys take some minutes, and less than a percent of a processor. */
const STEP_PAUSE_US = 250_000;
const FIRST_PASS_US = 10_000_000;

export interface PatrolOptions {
  /** Looks at one stretch of pages. @returns where the next one begins; undefined after the last */
  readonly checkPages: (from: Buffer | undefined) => Buffer | undefined;
  /** From the end of a pass to the next one. */
  readonly periodUs: number;
  /** Called once, with the place; nothing is looked at from then on. */
  readonly found: (harm: SynodError) => void;
  readonly ports: { readonly timers: Timers; readonly log: Log };
}

/** Looks at all pages of the store again and again, so that one that rots is found and named before LMDB follows it. */
export class StorePatrol {
  private cancel: Cancel = () => undefined;

  constructor(private readonly options: PatrolOptions) {
    this.later(Math.min(FIRST_PASS_US, options.periodUs), undefined);
  }

  stop(): void {
    this.cancel();
  }

  private later(delayUs: number, from: Buffer | undefined): void {
    this.cancel = this.options.ports.timers.after(delayUs, () => this.step(from));
  }

  private step(from: Buffer | undefined): void {
    const { checkPages, periodUs, found, ports } = this.options;
    let next: Buffer | undefined;
    try {
      next = checkPages(from);
    } catch (error) {
      if (error instanceof SynodError && error.kind === 'corrupt') {
        found(error);
        return;
      }
      // A disk that fails to give a page is not harm that a new folder on it would mend. Who reads that page fails by it. The pass ends here: what is
      // behind the page is not known without it.
      ports.log.error('a page of the store cannot be read', { error: String(error) });
    }
    if (next === undefined) this.later(periodUs, undefined);
    else this.later(Math.min(STEP_PAUSE_US, periodUs), next);
  }
}
