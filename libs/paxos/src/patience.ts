/** What a tick means to one who waits for answers. */
export type Urge = 'wait' | 'repeat' | 'give-up';

/** Counts ticks without progress. Chance is not its matter: the host draws when a replica may campaign again. */
export class Patience {
  private sinceProgress = 0;
  private sinceSent = 0;

  constructor(private readonly limits: { readonly retransmitTicks: number; readonly electionTicks: number }) {}

  /** Something awaited has come. */
  progressed(): void {
    this.sinceProgress = 0;
  }

  tick(): Urge {
    if (++this.sinceProgress >= this.limits.electionTicks) return 'give-up';
    if (++this.sinceSent < this.limits.retransmitTicks) return 'wait';
    this.sinceSent = 0;
    return 'repeat';
  }
}
