import { SynodError } from '@synod/runtime';
import { verdictOf, type Anomaly, type World } from '@synod/simulation';
import { EtcdError } from '../../../../apps/consensus/src/state/errors';
import { rangeRequest } from '../../../../apps/consensus/src/state/requests';
import type { Tally, Workload } from '../workload/workload';
import type { MemberClient } from './member-client';
import { lineOf, PREFIX, PREFIX_END, SPAN, type Shown, type Watches } from './watches';

/** How far behind the present a compaction stays, or a read reaches, at most. */
const REVISIONS_BACK_MAX = 40;

/** What a member said of the state at a revision. */
interface PastRead {
  readonly revision: bigint;
  readonly entries: ReadonlyMap<string, string>;
}

/** A watch from somewhere in the past. */
interface Latecomer {
  readonly start: bigint;
  readonly seen: Shown[];
  watch: { cancel(): void } | undefined;
}

/**
 * Gives up the past step by step, and goes on looking at it: what was not given up is there as it was, for reads and for watches; what was is refused, from
 * the moment of the answer on, and nothing else is. Never compacts what an observer still has to be shown.
 */
export class Compactions implements Workload<MemberClient> {
  readonly name = 'compactions';
  readonly clients = 1;
  private readonly reads: PastRead[] = [];
  private readonly latecomers: Latecomer[] = [];
  private readonly anomalies: Anomaly[] = [];
  /** The highest revision that anybody was asked to compact. */
  private asked = 0n;
  /** The highest of which it was acknowledged. */
  private acknowledged = 0n;

  constructor(
    private readonly context: { readonly world: World; readonly tally: Tally },
    private readonly watches: Watches,
  ) {}

  async step(host: MemberClient): Promise<void> {
    const back = BigInt(host.random.below(REVISIONS_BACK_MAX));
    try {
      switch (host.random.below(6)) {
        case 0:
          await this.compact(host, this.watches.shownToAll - back);
          break;
        case 1:
          this.watch(host, this.watches.shownToAll - back);
          break;
        default:
          await this.read(host, this.watches.shownToAll - back);
      }
      this.context.tally.acknowledged++;
    } catch (error) {
      if (!(error instanceof SynodError) && !(error instanceof EtcdError)) throw error;
      // It makes room.
      if (error instanceof EtcdError && error.code === 'no-space') this.complain('compaction-refused', error.message);
      this.context.tally.failed++;
    }
  }

  check() {
    const anomalies = [...this.anomalies, ...this.strangeReads(), ...this.strangeWatches()];
    return [{ name: 'past-is-kept-until-compacted', verdict: verdictOf(anomalies) }];
  }

  private async compact(host: MemberClient, revision: bigint): Promise<void> {
    if (revision <= this.asked) return;
    this.asked = revision;
    const physical = host.random.below(4) === 0;
    const { probes } = this.context.world;
    await host.call('outcome-unknown', async (node) => {
      const starved = node.host.alarms.length > 0;
      await node.host.compact(revision, physical);
      if (starved) probes.sometimes('compacted-without-space');
    });
    this.acknowledged = revision;
    probes.sometimes('history-compacted');
  }

  private async read(host: MemberClient, revision: bigint): Promise<void> {
    if (revision < 1n) return;
    const serializable = host.random.below(2) === 0;
    const gone = this.acknowledged;
    const request = rangeRequest(PREFIX, PREFIX_END, { revision });
    try {
      const { entries } = await host.call('unavailable', (node) => node.host.range(request, serializable));
      const pairs = entries.map(({ key, value }) => [key.toString(), value.toString()] as const);
      this.reads.push({ revision, entries: new Map(pairs) });
      // A member that lags may not know of the compaction yet; one that waited for the leader does.
      if (revision < gone && !serializable)
        this.complain('compacted-is-read', `${revision}, after ${gone} was compacted`);
    } catch (error) {
      if (!(error instanceof EtcdError) || error.code !== 'compacted') throw error;
      this.context.world.probes.sometimes('compacted-was-refused');
      if (revision >= this.asked)
        this.complain('past-is-refused', `${revision}, only ${this.asked} was to be compacted`);
    }
  }

  private watch(host: MemberClient, start: bigint): void {
    const last = this.latecomers.at(-1);
    last?.watch?.cancel();
    const member = host.any()?.node.host?.host;
    if (member === undefined || start < 1n) return;
    const latecomer: Latecomer = { start, seen: [], watch: undefined };
    this.latecomers.push(latecomer);
    latecomer.watch = member.watches.watch(
      { span: SPAN, startRevision: start, withoutPuts: false, withoutDeletes: false, previous: false },
      {
        deliver: (events, revision) => {
          latecomer.seen.push({ revision, events });
          return true;
        },
        compacted: (revision) => {
          this.context.world.probes.sometimes('watch-was-compacted');
          const next = (latecomer.seen.at(-1)?.revision ?? start - 1n) + 1n;
          if (next < revision && revision <= this.asked) return;
          this.complain('watch-is-refused', `at ${next} by ${revision}, only ${this.asked} was to be compacted`);
        },
      },
    );
  }

  private strangeReads(): Anomaly[] {
    return this.reads.flatMap(({ revision, entries }) => {
      const then = this.watches.stateAt(revision);
      const differs = [...new Set([...then.keys(), ...entries.keys()])].filter(
        (key) => then.get(key) !== entries.get(key),
      );
      return differs.map((key) =>
        anomaly(
          'past-differs',
          `${key} = ${entries.get(key) ?? 'nothing'} at ${revision}, was ${then.get(key) ?? 'nothing'}`,
        ),
      );
    });
  }

  /** Each was shown the history from its start on, as far as it got. */
  private strangeWatches(): Anomaly[] {
    return this.latecomers.flatMap(({ start, seen }) => {
      const history = this.watches.history.filter(({ revision }) => revision >= start).map(lineOf);
      const at = seen.findIndex((shown, index) => lineOf(shown) !== history[index]);
      const shown = seen[at];
      if (shown === undefined) return [];
      return [anomaly('watch-differs', `from ${start}: ${lineOf(shown)} in the place of ${history[at] ?? 'nothing'}`)];
    });
  }

  private complain(name: string, detail: string): void {
    this.anomalies.push(anomaly(name, detail));
  }
}

function anomaly(name: string, detail: string): Anomaly {
  return { name, detail, operations: [] };
}
