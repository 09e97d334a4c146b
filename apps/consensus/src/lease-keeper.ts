import { invariant } from '@synod/invariant';
import { SynodError, type Cancel, type Clock, type StoreReader, type Timers } from '@synod/runtime';
import type { KeySpace, Lease } from './state/key-space';
import type { LeaseId, LeaseRemaining } from './state/requests';
import type { LeaseChange } from './state/state-machine';

const SECOND_US = 1_000_000;
const SWEEP_US = 500_000;
/** Revocations proposed in one sweep: a thousand leases a second, as in etcd, so that a mass expiry leaves room for others. */
const REVOKED_PER_SWEEP_MAX = 500;

/**
 * What is left of a lease is logged when half of it has passed without a renewal: never more often than the first, at least as often as
 * the second. A holder that renews in time, after a third, causes none.
 */
const CHECKPOINT_MIN_US = 5_000_000;
const CHECKPOINT_MAX_US = 300_000_000;
/** Leases whose remaining time is logged in one sweep: two thousand a second. */
const CHECKPOINTS_PER_SWEEP_MAX = 1_000;

interface Held {
  readonly ttlSeconds: bigint;
  expiresAtUs: number;
  checkpointAtUs: number;
  /** The log may hold less than the whole time for it: a renewal has to be logged. Invariant `renewal-outlives-its-leader`. */
  checkpointed: boolean;
  /** Renewals on their way into the log: until they are there it must not expire. */
  renewals: number;
  /** A revocation is on its way: too late to renew. */
  revoking: boolean;
}

/**
 * When leases expire: known to the leader alone, by its monotonic clock. Expiry only proposes to revoke: the log decides. What is left
 * of leases that are not renewed is logged now and then, and a new leader goes on from there. Every doubt is in favour of the holder: a
 * lease without such a checkpoint has its whole time under a new leader, and one that was stalled and may have missed renewals adds the
 * time it stood still.
 * Source: etcd's server/lease/lessor.go, checkpoints, which are off there by default.
 */
export class LeaseKeeper {
  private readonly held = new Map<LeaseId, Held>();
  private cancelSweep: Cancel | undefined;
  private sweptAtUs = 0;

  constructor(
    private readonly ports: { readonly clock: Clock; readonly timers: Timers },
    private readonly keySpace: KeySpace,
    private readonly store: StoreReader,
    /** Proposes a revocation; resolves when it is settled one way or the other. */
    private readonly revoke: (id: LeaseId) => Promise<void>,
    /** Logs what is left of leases. @returns whether that is certain */
    private readonly checkpoint: (leases: readonly LeaseRemaining[]) => Promise<boolean>,
  ) {}

  /** Begins to keep time: from now on every lease has what the log last said was left of it. */
  lead(): void {
    this.resign();
    for (const lease of this.keySpace.leases(this.store)) this.hold(lease);
    this.sweptAtUs = this.ports.clock.monotonicUs();
    this.sweepLater();
  }

  resign(): void {
    this.cancelSweep?.();
    this.cancelSweep = undefined;
    this.held.clear();
  }

  /** Follows what the log did to leases. */
  note(changes: readonly LeaseChange[]): void {
    if (this.cancelSweep === undefined) return;
    for (const change of changes) {
      if (change.kind === 'granted') this.hold({ ...change, remainingSeconds: change.ttlSeconds });
      else this.held.delete(change.id);
    }
  }

  /**
   * @returns the time to live from now on, in seconds; undefined if there is no such lease, or no longer
   * @throws {SynodError} `not-leader` if this member does not lead, or could not log it where it must be
   */
  async renew(id: LeaseId): Promise<bigint | undefined> {
    this.mustLead();
    const lease = this.held.get(id);
    if (lease === undefined || lease.revoking) return undefined;
    if (lease.checkpointed) {
      lease.renewals++;
      const logged = await this.checkpoint([{ id, remainingSeconds: lease.ttlSeconds }]);
      lease.renewals--;
      if (!logged) throw new SynodError('not-leader', 'the renewal of a lease could not be logged');
      this.mustLead();
      if (this.held.get(id) !== lease || lease.revoking) return undefined;
      lease.checkpointed = false;
    }
    const now = this.ports.clock.monotonicUs();
    invariant(!lease.checkpointed, 'renewal-outlives-its-leader', () => `lease ${id}`);
    lease.expiresAtUs = now + Number(lease.ttlSeconds) * SECOND_US;
    lease.checkpointAtUs = nextCheckpoint(now, lease.expiresAtUs);
    return lease.ttlSeconds;
  }

  /**
   * @returns whole seconds left, never negative; undefined if there is no such lease
   * @throws {SynodError} `not-leader`
   */
  remaining(id: LeaseId): { readonly grantedSeconds: bigint; readonly remainingSeconds: bigint } | undefined {
    this.mustLead();
    const lease = this.held.get(id);
    if (lease === undefined) return undefined;
    const leftUs = Math.max(0, lease.expiresAtUs - this.ports.clock.monotonicUs());
    return { grantedSeconds: lease.ttlSeconds, remainingSeconds: BigInt(Math.floor(leftUs / SECOND_US)) };
  }

  /** Leadership may end in the very turn in which it was confirmed. Who keeps no time any more must not say of a lease that there is none. */
  private mustLead(): void {
    if (this.cancelSweep === undefined)
      throw new SynodError('not-leader', 'this member does not keep the time of leases');
  }

  private hold({ id, ttlSeconds, remainingSeconds }: Lease): void {
    const now = this.ports.clock.monotonicUs();
    const expiresAtUs = now + Number(remainingSeconds) * SECOND_US;
    const checkpointAtUs = nextCheckpoint(now, expiresAtUs);
    const checkpointed = remainingSeconds < ttlSeconds;
    this.held.set(id, { ttlSeconds, expiresAtUs, checkpointAtUs, checkpointed, renewals: 0, revoking: false });
  }

  private sweepLater(): void {
    this.cancelSweep = this.ports.timers.after(SWEEP_US, () => {
      this.sweep();
      this.sweepLater();
    });
  }

  private sweep(): void {
    const now = this.ports.clock.monotonicUs();
    const stalledUs = now - this.sweptAtUs - 2 * SWEEP_US;
    this.sweptAtUs = now;
    // A process that stood still could not hear renewals: that time does not count against their senders.
    if (stalledUs > 0) for (const lease of this.held.values()) lease.expiresAtUs += stalledUs;
    this.checkpointDue(now);
    let room = REVOKED_PER_SWEEP_MAX;
    for (const [id, lease] of this.held) {
      if (lease.revoking || lease.renewals > 0 || lease.expiresAtUs > now) continue;
      if (room-- === 0) return;
      lease.revoking = true;
      // If it failed the lease lives on, and the next sweep tries again.
      void this.revoke(id).then(() => (lease.revoking = false));
    }
  }

  private checkpointDue(now: number): void {
    const due: LeaseRemaining[] = [];
    for (const [id, lease] of this.held) {
      if (lease.checkpointAtUs > now || lease.expiresAtUs <= now || lease.revoking || lease.renewals > 0) continue;
      // Before it is proposed: a renewal that comes while it is on its way has to be logged behind it.
      lease.checkpointed = true;
      lease.checkpointAtUs = nextCheckpoint(now, lease.expiresAtUs);
      // Rounded up: late rather than early.
      due.push({ id, remainingSeconds: BigInt(Math.ceil((lease.expiresAtUs - now) / SECOND_US)) });
      if (due.length === CHECKPOINTS_PER_SWEEP_MAX) break;
    }
    if (due.length > 0) void this.checkpoint(due);
  }
}

function nextCheckpoint(now: number, expiresAtUs: number): number {
  return now + Math.min(Math.max((expiresAtUs - now) / 2, CHECKPOINT_MIN_US), CHECKPOINT_MAX_US);
}
