import { invariant } from '@synod/invariant';
import type { SynodError, Cancel, Log, Timers } from '@synod/runtime';

/** Between two looks whether the others can do without this member. */
const LOOK_US = 1_000_000;
/** So often in a row they must, and as often again for each member before this one: who has just gone away is heard from for a while. */
const SPARED_LOOKS = 5;
/** Whoever looks at the log finds it named again. */
const REMINDER_LOOKS = 30;

export interface WithdrawalOptions {
  /** @throws {SynodError} if the others could not give this member back what it holds, or shall not */
  readonly checkRepairable: () => Promise<void>;
  /** Whether the others make a majority without this member, and are heard from. */
  readonly canBeSpared: () => boolean;
  /** How many members come before this one, in an order that all have: of those that find harm at once only one goes at a time. */
  readonly turn: () => number;
  /** Remembers the harm for the next start, durably. */
  readonly note: (harm: string) => Promise<void>;
  /** Ends what runs, and starts it again. */
  readonly startAnew: () => void;
  readonly ports: { readonly timers: Timers; readonly log: Log };
}

/**
 * A member that finds, while it runs, that what it holds is harmed. It goes on with what it has for as long as the others need it; when they can
 * do without, it starts again, from a folder that is known to be harmed: see `returnFromHarm`. Invariant `withdraws-when-spared`: harm of one disk
 * never takes a quorum away that there was.
 */
export class Withdrawal {
  private first: SynodError | undefined;
  private cancel: Cancel = () => undefined;
  private stopped = false;
  private looks = 0;
  private sparedLooks = 0;

  constructor(private readonly options: WithdrawalOptions) {}

  /** What was found first. */
  get harm(): SynodError | undefined {
    return this.first;
  }

  /** Names it, and withdraws if that helps. Only the first counts. */
  async because(harm: SynodError): Promise<void> {
    if (this.first !== undefined) return;
    this.first = harm;
    const { checkRepairable, ports } = this.options;
    ports.log.error('the data folder is harmed', { harm: harm.message });
    try {
      await checkRepairable();
    } catch (reason) {
      ports.log.error('not repaired from peers; goes on with what it has', { reason: (reason as Error).message });
      return;
    }
    this.look(harm);
  }

  stop(): void {
    this.stopped = true;
    this.cancel();
  }

  private look(harm: SynodError): void {
    if (this.stopped) return;
    const { canBeSpared, turn, ports } = this.options;
    const before = turn();
    if (before < 0) return; // It is a member no more, and is about to hear of that.
    this.sparedLooks = canBeSpared() ? this.sparedLooks + 1 : 0;
    if (this.sparedLooks >= SPARED_LOOKS * (1 + before)) {
      void this.withdraw(harm);
      return;
    }
    if (this.sparedLooks === 0 && this.looks++ % REMINDER_LOOKS === 0) {
      ports.log.error('the data folder is harmed; the others cannot do without this member yet', {
        harm: harm.message,
      });
    }
    this.cancel = ports.timers.after(LOOK_US, () => this.look(harm));
  }

  private async withdraw(harm: SynodError): Promise<void> {
    const { canBeSpared, note, startAnew, ports } = this.options;
    invariant(canBeSpared(), 'withdraws-when-spared', () => harm.message);
    try {
      await note(harm.message);
    } catch (reason) {
      // Unnoted, the next start would go on with what is harmed.
      ports.log.error('the harm cannot be noted; tries again', { reason: (reason as Error).message });
      this.sparedLooks = 0;
      this.cancel = ports.timers.after(LOOK_US, () => this.look(harm));
      return;
    }
    if (this.stopped) return;
    ports.log.warn('withdraws, to be taken back as a new replica', { harm: harm.message });
    startAnew();
  }
}
