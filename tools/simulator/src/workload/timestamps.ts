import type { Verdict } from '@synod/simulation';
import { endOfFailure, type CoordinationClient, type Workload, type WorkloadContext } from './workload';

/** Timestamps straight from the oracle: above every one that was answered before they were asked for. */
export class Timestamps implements Workload<CoordinationClient> {
  readonly name = 'timestamps';
  readonly clients = 1;
  private readonly issued: { readonly askedAt: number; readonly answeredAt: number; readonly ts: bigint }[] = [];

  constructor(private readonly context: WorkloadContext) {}

  async step({ timestamps }: CoordinationClient): Promise<void> {
    const askedAt = this.context.world.now;
    try {
      const ts = await timestamps.next();
      this.issued.push({ askedAt, answeredAt: this.context.world.now, ts });
      this.context.tally.acknowledged++;
    } catch (error) {
      endOfFailure(error);
      this.context.tally.failed++;
    }
  }

  check() {
    return [{ name: 'timestamps-increase', verdict: this.verdict() }];
  }

  private verdict(): Verdict {
    const byAnswer = this.issued.toSorted((a, b) => a.answeredAt - b.answeredAt);
    for (const one of this.issued) {
      // The last one answered before this was asked for; all earlier ones are below it, or were complained of already.
      const before = byAnswer.findLast(({ answeredAt }) => answeredAt < one.askedAt);
      if (before === undefined || before.ts < one.ts) continue;
      const detail = `${before.ts}, answered at ${before.answeredAt}, is not below ${one.ts}, asked for at ${one.askedAt}`;
      return { verdict: 'illegal', anomalies: [{ name: 'timestamp-went-back', detail, operations: [] }] };
    }
    return { verdict: 'legal' };
  }
}
