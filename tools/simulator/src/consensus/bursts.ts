import { SynodError } from '@synod/runtime';
import { verdictOf, type Anomaly, type World } from '@synod/simulation';
import { prefixRangeEnd } from '../../../../apps/consensus/src/state/span';
import type { Tally, Workload } from '../workload/workload';
import type { MemberClient } from './member-client';
import type { Machine } from './machine';

const PREFIX = Buffer.from('burst/');
const PUTS_MIN = 3;
const PUTS_MAX = 10;
/** Between two puts of a burst, at most: less than a round takes, more than a turn. */
const GAP_US_MAX = 400;

/**
 * Writes one upon the other, so that the leader has many instances open at once, and, now and then, is struck in the midst of them:
 * what its successor finds then has holes. Every write that was acknowledged is there at the end.
 */
export class Bursts implements Workload<MemberClient> {
  readonly name = 'bursts';
  readonly clients = 1;
  private readonly acknowledged: string[] = [];
  private found: ReadonlySet<string> = new Set();
  private puts = 0;

  constructor(
    private readonly context: { readonly world: World; readonly tally: Tally },
    private readonly leader: () => Machine | undefined,
    /** Hits a leader that has just begun with a burst; absent in worlds where nothing is hit. */
    private readonly strike: ((leader: Machine) => void) | undefined,
  ) {}

  async step(host: MemberClient): Promise<void> {
    const machine = this.leader();
    if (machine === undefined) return;
    if (this.strike !== undefined && host.random.below(4) === 0) this.strike(machine);
    const puts: Promise<void>[] = [];
    for (let left = host.random.below(PUTS_MAX - PUTS_MIN + 1) + PUTS_MIN; left > 0; left--) {
      puts.push(this.put(host, machine));
      await host.pause(1 + host.random.below(GAP_US_MAX));
    }
    await Promise.all(puts);
  }

  async finish(host: MemberClient): Promise<void> {
    const { entries } = await host.coordination.range(PREFIX, prefixRangeEnd(PREFIX));
    this.found = new Set(entries.map(({ key }) => key.toString()));
  }

  check() {
    const lost = this.acknowledged.filter((key) => !this.found.has(key));
    const anomalies: Anomaly[] = lost.map((key) => ({ name: 'write-lost', detail: key, operations: [] }));
    return [{ name: 'acknowledged-is-kept', verdict: verdictOf(anomalies) }];
  }

  private async put(host: MemberClient, at: Machine): Promise<void> {
    const key = `burst/${++this.puts}`;
    const success = [{ kind: 'put', key: Buffer.from(key), value: Buffer.from(key) } as const];
    try {
      await host.call(
        'outcome-unknown',
        (node) => node.coordination.transaction({ compare: [], success, failure: [] }),
        at,
      );
      this.acknowledged.push(key);
      this.context.tally.acknowledged++;
    } catch (error) {
      if (!(error instanceof SynodError)) throw error;
      this.context.tally.unknown++;
    }
  }
}
