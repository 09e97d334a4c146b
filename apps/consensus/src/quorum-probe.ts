import type { Cancel, Clock, Timers } from '@synod/runtime';

const LOOK_US = 1_000_000;
/** After how many election time-outs since the last barrier that passed the quorum is taken as lost. An election fits in it. */
const PATIENCE_ELECTIONS = 4;

/**
 * Whether this member can serve linearizable requests now: it can as long as a read barrier passes now and then. What health says
 * of the service follows from it.
 */
export class QuorumProbe {
  private passedAtUs: number | undefined;
  private asking = false;
  private healthy = false;
  private cancel: Cancel = () => undefined;

  constructor(
    private readonly ports: { readonly clock: Clock; readonly timers: Timers },
    /** Rejects if there is no quorum for too long. */
    private readonly barrier: () => Promise<void>,
    private readonly changed: (serving: boolean) => void,
    private readonly electionTimeoutUs: number,
  ) {}

  get serving(): boolean {
    return this.healthy;
  }

  start(): void {
    this.look();
  }

  stop(): void {
    this.cancel();
  }

  private look(): void {
    this.cancel = this.ports.timers.after(LOOK_US, () => this.look());
    if (!this.asking) void this.ask();
    const now = this.ports.clock.monotonicUs();
    if (this.healthy && now - (this.passedAtUs ?? 0) > this.patienceUs) this.set(false);
  }

  private async ask(): Promise<void> {
    this.asking = true;
    const passed = await this.barrier().then(
      () => true,
      () => false,
    );
    this.asking = false;
    if (!passed) return;
    this.passedAtUs = this.ports.clock.monotonicUs();
    this.set(true);
  }

  /** Not less than two looks: one that came late is no loss. */
  private get patienceUs(): number {
    return Math.max(2 * LOOK_US, PATIENCE_ELECTIONS * this.electionTimeoutUs);
  }

  private set(serving: boolean): void {
    if (this.healthy === serving) return;
    this.healthy = serving;
    this.changed(serving);
  }
}
