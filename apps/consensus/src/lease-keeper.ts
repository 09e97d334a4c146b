import type { Cancel, Clock, StoreReader, Timers } from '@synod/runtime';
import type { KeySpace } from './state/key-space';
import type { LeaseId } from './state/requests';
import type { LeaseChange } from './state/state-machine';

const SECOND_US = 1_000_000;
const SWEEP_US = 500_000;
/** Revocations proposed in one sweep: a thousand leases a second, as in etcd, so that a mass expiry leaves room for others. */
const REVOKED_PER_SWEEP_MAX = 500;

interface Held {
  readonly ttlSeconds: bigint;
  expiresAtUs: number;
  /** A revocation is on its way: too late to renew. */
  revoking: boolean;
}

/**
 * When leases expire: known to the leader alone, by its monotonic clock. Expiry only proposes to revoke: the log decides. Every
 * doubt is in favour of the holder: a new leader, and one that was stalled and may have missed renewals, give all leases more time.
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
  ) {}

  /** Begins to keep time: every lease has its whole time to live from now on, whatever was left of it before. */
  lead(): void {
    this.resign();
    for (const { id, ttlSeconds } of this.keySpace.leases(this.store)) this.hold(id, ttlSeconds);
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
      if (change.kind === 'granted') this.hold(change.id, change.ttlSeconds);
      else this.held.delete(change.id);
    }
  }

  /** @returns the time to live from now on, in seconds; undefined if there is no such lease, or no longer */
  renew(id: LeaseId): bigint | undefined {
    const lease = this.held.get(id);
    if (lease === undefined || lease.revoking) return undefined;
    lease.expiresAtUs = this.ports.clock.monotonicUs() + Number(lease.ttlSeconds) * SECOND_US;
    return lease.ttlSeconds;
  }

  /** @returns whole seconds left, never negative; undefined if there is no such lease */
  remaining(id: LeaseId): { readonly grantedSeconds: bigint; readonly remainingSeconds: bigint } | undefined {
    const lease = this.held.get(id);
    if (lease === undefined) return undefined;
    const leftUs = Math.max(0, lease.expiresAtUs - this.ports.clock.monotonicUs());
    return { grantedSeconds: lease.ttlSeconds, remainingSeconds: BigInt(Math.floor(leftUs / SECOND_US)) };
  }

  private hold(id: LeaseId, ttlSeconds: bigint): void {
    const expiresAtUs = this.ports.clock.monotonicUs() + Number(ttlSeconds) * SECOND_US;
    this.held.set(id, { ttlSeconds, expiresAtUs, revoking: false });
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
    let room = REVOKED_PER_SWEEP_MAX;
    for (const [id, lease] of this.held) {
      if (lease.revoking || lease.expiresAtUs > now) continue;
      if (room-- === 0) return;
      lease.revoking = true;
      // If it failed the lease lives on, and the next sweep tries again.
      void this.revoke(id).then(() => (lease.revoking = false));
    }
  }
}
