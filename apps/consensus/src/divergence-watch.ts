import type { Cancel, Log, Timers } from '@synod/runtime';
import type { Alarm } from './state/requests';

/** Alarms are in memory between two changes of the state. */
const LOOK_US = 1_000_000;

/** What the watch goes by, and does. */
export interface Divergence {
  readonly alarms: () => readonly Alarm[];
  /** The number of this member, and whether one is that of a member that there is. As far as the log is applied here. */
  readonly self: () => bigint;
  readonly isMember: (member: bigint) => boolean;
  readonly leads: () => boolean;
  /** A majority found this member's state to be another one than theirs. Called once. */
  readonly differs: () => void;
  /** Logs that an alarm is cleared. Never rejects. */
  readonly clear: (alarm: Alarm) => Promise<void>;
}

/**
 * Ends what the comparison of states began. A CORRUPT alarm that members raised, not an operator, and that names one of them, says that a majority
 * agrees on another state than that one's. The named member withdraws, to come back as a new replica with the state of the others; once it is no
 * member any more under the number that was named, no state differs, and the leader clears the alarm. One that names nobody stays: then no majority
 * says who is right.
 */
export class DivergenceWatch {
  private cancel: Cancel;
  private told = false;
  private clearing = false;

  constructor(
    private readonly ports: { readonly timers: Timers; readonly log: Log },
    private readonly divergence: Divergence,
  ) {
    this.cancel = ports.timers.after(LOOK_US, () => this.look());
  }

  stop(): void {
    this.cancel();
  }

  private look(): void {
    const { alarms, self, isMember, leads, differs } = this.divergence;
    for (const alarm of alarms()) {
      if (alarm.type !== 'corrupt' || !alarm.automatic || alarm.member === 0n) continue;
      if (alarm.member === self() && !this.told) {
        this.told = true;
        differs();
      }
      if (leads() && !isMember(alarm.member)) void this.clear(alarm);
    }
    this.cancel = this.ports.timers.after(LOOK_US, () => this.look());
  }

  private async clear(alarm: Alarm): Promise<void> {
    if (this.clearing) return;
    this.clearing = true;
    this.ports.log.info('the member whose state differed is no more: changes are let through again', {
      member: alarm.member,
    });
    await this.divergence.clear(alarm);
    this.clearing = false;
  }
}
