import type { Cancel, Clock, Timers } from '@synod/runtime';
import type { Retention } from './retention';
import type { Revision } from './state/requests';

const REVISION_CHECK_US = 300_000_000;
const PERIODIC_CHECK_US_MAX = 3_600_000_000;
/** The revisions of the last period are noted so often within it: what is kept is up to so much more than was asked for. */
const SAMPLES_PER_CHECK = 10;

interface Sample {
  readonly atUs: number;
  readonly revision: Revision;
}

/**
 * Compacts the history while this member leads. Every member notes which revision there was when, so that a new leader goes on where the
 * last one was.
 * Source: etcd, server/etcdserver/api/v3compactor (periodic.go, revision.go), with its intervals.
 */
export class AutoCompaction {
  private samples: Sample[] = [];
  private compacted: Revision = 0n;
  private dueAtUs: number;
  private cancel: Cancel | undefined;

  constructor(
    private readonly ports: { readonly clock: Clock; readonly timers: Timers },
    private readonly retention: Retention,
    private readonly store: {
      readonly revision: () => Revision;
      readonly leads: () => boolean;
      /** Never rejects. */
      readonly compact: (revision: Revision) => Promise<void>;
    },
  ) {
    this.dueAtUs = ports.clock.monotonicUs() + this.checkUs;
    this.lookLater();
  }

  stop(): void {
    this.cancel?.();
  }

  private get checkUs(): number {
    return this.retention.mode === 'revision'
      ? REVISION_CHECK_US
      : Math.min(this.retention.periodUs, PERIODIC_CHECK_US_MAX);
  }

  private lookLater(): void {
    this.cancel = this.ports.timers.after(Math.ceil(this.checkUs / SAMPLES_PER_CHECK), () => void this.look());
  }

  private async look(): Promise<void> {
    const now = this.ports.clock.monotonicUs();
    if (this.retention.mode === 'periodic') this.samples.push({ atUs: now, revision: this.store.revision() });
    if (now >= this.dueAtUs) {
      this.dueAtUs = now + this.checkUs;
      const revision = this.oldestToKeep(now);
      if (this.store.leads() && revision > this.compacted) {
        this.compacted = revision;
        await this.store.compact(revision);
      }
    }
    this.lookLater();
  }

  /** Drops the samples that no later check needs. @returns 0n if there is nothing to forget yet */
  private oldestToKeep(now: number): Revision {
    if (this.retention.mode === 'revision') return this.store.revision() - BigInt(this.retention.revisions);
    const { periodUs } = this.retention;
    const ripe = this.samples.findLastIndex(({ atUs }) => atUs <= now - periodUs);
    const sample = this.samples[ripe];
    this.samples = this.samples.slice(Math.max(0, ripe));
    return sample?.revision ?? 0n;
  }
}
