import type { Clock } from '@synod/runtime';
import { txnName, type Lock, type TxnHandle } from '@synod/two-phase-commit';

/** A transaction in doubt, and since when this leader knows it: by its own clock, and never longer than it leads. */
export interface Doubt {
  readonly lock: Lock;
  readonly seenUs: number;
}

/** The transactions in doubt at this shard: prepared, and not yet told how they ended. Derived from the store. */
export class InDoubt {
  private readonly doubts = new Map<string, Doubt>();

  constructor(private readonly clock: Clock) {}

  get size(): number {
    return this.doubts.size;
  }

  add(lock: Lock): void {
    this.doubts.set(txnName(lock.txn), { lock, seenUs: this.clock.monotonicUs() });
  }

  remove(txn: TxnHandle): void {
    this.doubts.delete(txnName(txn));
  }

  clear(): void {
    this.doubts.clear();
  }

  /** 0 if it is not known as in doubt, or another attempt is: then it was settled meanwhile. */
  ageUs(lock: Lock): number {
    const doubt = this.doubts.get(txnName(lock.txn));
    return doubt?.lock.attempt === lock.attempt ? this.clock.monotonicUs() - doubt.seenUs : 0;
  }

  /** In the order they were seen. */
  *olderThan(ageUs: number): Iterable<Lock> {
    const seenBeforeUs = this.clock.monotonicUs() - ageUs;
    for (const { lock, seenUs } of this.doubts.values()) if (seenUs <= seenBeforeUs) yield lock;
  }
}
