import type { Cancel, Clock, Timers } from '@synod/runtime';

const LOOK_US = 1_000_000;
/** How long after the last barrier that passed the quorum is taken as lost. An election fits in it. */
const PATIENCE_US = 4_000_000;

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
    if (this.healthy && now - (this.passedAtUs ?? 0) > PATIENCE_US) this.set(false);
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

  private set(serving: boolean): void {
    if (this.healthy === serving) return;
    this.healthy = serving;
    this.changed(serving);
  }
}
