import { invariant } from '@synod/invariant';
import type { Cancel, Log, Timers } from '@synod/runtime';
import { EtcdError } from './state/errors';
import type { Alarm } from './state/requests';

/** How much this member stores, and how much more it could. */
export interface StorageGauge {
  /** Of the store's file, and of what in it holds data, changes on their way to it included. */
  usage(): { readonly fileBytes: number; readonly inUseBytes: number };
  /** That the file system of the data folder has left. */
  freeBytes(): Promise<number>;
}

export interface SpaceLimits {
  /** Of data in the store; Infinity for none. */
  readonly quotaBytes: number;
  /** Kept free on the file system, out of which deletions, compaction and the cluster's own keys are written. */
  readonly reserveBytes: number;
}

const LOOK_US = 500_000;
/** The log and the pages of the store that a request takes beside its own bytes, about. */
const OVERHEAD_BYTES = 512;
/** There is room again when so much of the quota is free, and so much more than the reserve: an alarm must not flicker. */
const RESUME_QUOTA_PART = 0.9;
const RESUME_RESERVE_PART = 0.25;
const RESUME_RESERVE_BYTES_MAX = 64 * 2 ** 20;
/** A request that does not fit raises the alarm only if the store is that full: else smaller ones may go on. */
const FULL_QUOTA_PART = 0.95;

/**
 * Keeps a member within its quota and off the end of its disk. What adds data is refused before it is proposed; when there is no room
 * the member raises its NOSPACE alarm, so that all refuse, and clears it by itself when there is room again. Invariant
 * `reserve-is-for-making-room`: below the reserve nothing is admitted that adds data.
 */
export class SpaceWatch {
  private usage: { readonly fileBytes: number; readonly inUseBytes: number };
  private freeBytes = Infinity;
  /** Since the last look: not yet to be seen in what was measured then. */
  private admittedBytes = 0;
  private changing = false;
  private cancelLook: Cancel | undefined;
  private stopped = false;

  constructor(
    private readonly ports: { readonly timers: Timers; readonly log: Log },
    private readonly gauge: StorageGauge,
    private readonly limits: SpaceLimits,
    private readonly alarm: {
      /** This member's NOSPACE alarm, if it is raised. */
      readonly raised: () => Alarm | undefined;
      /** Logs that it is raised, or cleared. Never rejects. */
      readonly change: (action: 'raise' | 'clear') => Promise<void>;
    },
  ) {
    this.usage = gauge.usage();
    void this.look();
  }

  /** As of the last look. */
  get stored(): { readonly fileBytes: number; readonly inUseBytes: number } {
    return this.usage;
  }

  get quotaBytes(): number {
    return this.limits.quotaBytes;
  }

  /**
   * Lets a request through that adds data.
   * @throws {EtcdError} `no-space` if it does not fit
   */
  admit(requestBytes: number): void {
    const bytes = requestBytes + OVERHEAD_BYTES;
    const fits =
      this.usedBytes + bytes <= this.limits.quotaBytes &&
      this.freeBytes - this.admittedBytes - bytes >= this.limits.reserveBytes;
    if (fits) {
      this.admittedBytes += bytes;
      const leftBytes = this.freeBytes - this.admittedBytes;
      invariant(leftBytes >= this.limits.reserveBytes, 'reserve-is-for-making-room', () => `${leftBytes} bytes left`);
      return;
    }
    if (this.isFull(FULL_QUOTA_PART)) this.change('raise');
    throw new EtcdError('no-space');
  }

  stop(): void {
    this.stopped = true;
    this.cancelLook?.();
  }

  private get usedBytes(): number {
    return this.usage.inUseBytes + this.admittedBytes;
  }

  private isFull(quotaPart: number): boolean {
    const { quotaBytes, reserveBytes } = this.limits;
    return this.usedBytes >= quotaPart * quotaBytes || this.freeBytes - this.admittedBytes < reserveBytes;
  }

  private get hasRoomAgain(): boolean {
    const { quotaBytes, reserveBytes } = this.limits;
    const margin = Math.min(RESUME_RESERVE_PART * reserveBytes, RESUME_RESERVE_BYTES_MAX);
    return this.usage.inUseBytes < RESUME_QUOTA_PART * quotaBytes && this.freeBytes >= reserveBytes + margin;
  }

  private async look(): Promise<void> {
    try {
      this.freeBytes = await this.gauge.freeBytes();
    } catch (error) {
      // A file system that does not tell is no reason to refuse: the quota still holds.
      this.ports.log.warn('the free space of the data folder cannot be read', { error: String(error) });
    }
    if (this.stopped) return;
    this.usage = this.gauge.usage();
    this.admittedBytes = 0;
    if (this.isFull(1)) this.change('raise');
    else if (this.hasRoomAgain) this.change('clear');
    this.cancelLook = this.ports.timers.after(LOOK_US, () => void this.look());
  }

  private change(action: 'raise' | 'clear'): void {
    const raised = this.alarm.raised();
    // What an operator raised is not for a member to clear.
    const wanted = action === 'raise' ? raised === undefined : raised?.automatic === true;
    if (!wanted || this.changing) return;
    this.changing = true;
    const { inUseBytes } = this.usage;
    const fields = { inUseBytes, quotaBytes: this.limits.quotaBytes, freeBytes: this.freeBytes };
    if (action === 'raise') this.ports.log.warn('no space: what adds data is refused', fields);
    else this.ports.log.info('there is space again', fields);
    void this.alarm.change(action).then(() => (this.changing = false));
  }
}
