import type { GroupMember } from '@synod/replication';
import type { Cancel, Log, Timers } from '@synod/runtime';

/** Between two requests. A member that catches up for hours asks as often as it likes: a refusal costs one message. */
const PERIOD_US = 1_000_000;

/** A member that lost its disk is back as a learner. Asks for its vote until it has it, or is no member any more. */
export class ReturnToVote {
  private cancel: Cancel = () => undefined;
  private stopped = false;

  constructor(
    private readonly ports: { readonly timers: Timers; readonly log: Log },
    /** This member as its log names it now. */
    private readonly self: () => GroupMember | undefined,
    /** Rejects while it is too far behind, and whenever nobody can decide. */
    private readonly promote: (self: GroupMember) => Promise<unknown>,
  ) {}

  start(): void {
    const self = this.self();
    if (this.stopped || self?.returns !== true) return;
    this.cancel = this.ports.timers.after(PERIOD_US, () => void this.ask(self));
  }

  stop(): void {
    this.stopped = true;
    this.cancel();
  }

  private async ask(self: GroupMember): Promise<void> {
    try {
      await this.promote(self);
      this.ports.log.info('votes again after the loss of its data folder', { replica: self.replicaId });
    } catch (error) {
      this.ports.log.debug('does not vote again yet', { reason: String(error) });
    }
    this.start();
  }
}
