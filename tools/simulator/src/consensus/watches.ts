import { verdictOf, type Anomaly, type Incarnation, type World } from '@synod/simulation';
import { SynodError } from '@synod/runtime';
import { prefixRangeEnd, spanOf } from '../../../../apps/consensus/src/state/span';
import { rangeRequest } from '../../../../apps/consensus/src/state/requests';
import type { WatchedEvent } from '../../../../apps/consensus/src/watch-hub';
import type { CoordinationRegisters } from '../workload/coordination-registers';
import type { Tally, Workload } from '../workload/workload';
import type { Machine } from './machine';
import type { MemberClient } from './member-client';

/** Of the registers. */
export const PREFIX = Buffer.from('reg/');
export const PREFIX_END = prefixRangeEnd(PREFIX);
export const SPAN = spanOf(PREFIX, PREFIX_END);
/** The first revision there can be. */
const FROM = 1n;

/** What a watch was shown at once. */
export interface Shown {
  readonly revision: bigint;
  readonly events: readonly WatchedEvent[];
}

/** One observer: it moves from member to member, and goes on each time where it was. */
interface Observer {
  readonly name: string;
  /** In the order in which it was shown. */
  readonly seen: Shown[];
  /** Of the first event that it still wants. */
  next: bigint;
  open: { readonly at: Incarnation; readonly watch: { readonly caughtUp: boolean; cancel(): void } } | undefined;
}

/** A serializable read: what one member had in a key at a revision of its own. */
interface Look {
  readonly key: string;
  readonly revision: bigint;
  readonly value: string | undefined;
}

/**
 * Watches that are taken up again at other members, and reads without a quorum. All observers are shown one and the same history, in order
 * and without a gap; it holds every acknowledged write of the registers at its revision; and whatever old state a member shows is a
 * state of that history.
 */
export class Watches implements Workload<MemberClient> {
  readonly name = 'watches';
  readonly clients = 2;
  private readonly observers: Observer[] = [];
  private readonly looks: Look[] = [];
  private end = 0n;

  constructor(
    private readonly context: { readonly world: World; readonly tally: Tally },
    private readonly registers: CoordinationRegisters,
  ) {
    for (let index = 0; index < this.clients; index++) {
      this.observers.push({ name: `observer ${index + 1}`, seen: [], next: FROM, open: undefined });
    }
  }

  async step(host: MemberClient, client: number): Promise<void> {
    const observer = this.observers[client];
    if (observer === undefined) return;
    const alive = observer.open !== undefined && observer.open.at.state !== 'dead';
    if (!alive || host.random.below(6) === 0) this.open(observer, host.any());
    if (host.random.below(2) === 0) await this.look(host);
  }

  /** All observers were shown everything up to here. */
  get shownToAll(): bigint {
    const [first = 0n, ...others] = this.observers.map(({ next }) => next - 1n);
    return others.reduce((least, each) => (each < least ? each : least), first);
  }

  /** All that ever happened; whole at the end. */
  get history(): readonly Shown[] {
    return this.observers[0]?.seen ?? [];
  }

  /** What the registers held at a revision. */
  stateAt(revision: bigint): ReadonlyMap<string, string> {
    const state = new Map<string, string>();
    for (const { revision: at, events } of this.history) {
      if (at > revision) break;
      for (const event of events) happen(state, event);
    }
    return state;
  }

  /** Everybody reads to the end. */
  async finish(host: MemberClient): Promise<void> {
    const { revision } = await host.coordination.range(PREFIX, PREFIX_END);
    this.end = revision;
    for (const observer of this.observers) {
      const machine = host.any();
      while ((machine?.node.host?.host.revision ?? 0n) < revision) await host.pause(20_000);
      this.open(observer, machine);
      while (observer.open?.watch.caughtUp !== true) await host.pause(20_000);
      observer.open.watch.cancel();
    }
  }

  check() {
    return [
      { name: 'watch-in-order', verdict: verdictOf(this.observers.flatMap(outOfOrder)) },
      { name: 'watches-agree', verdict: verdictOf(this.disagreements()) },
      { name: 'watch-complete', verdict: verdictOf(this.missing()) },
      { name: 'serializable-reads-are-of-the-past', verdict: verdictOf(this.strangeLooks()) },
    ];
  }

  private open(observer: Observer, machine: Machine | undefined): void {
    observer.open?.watch.cancel();
    observer.open = undefined;
    const { host, incarnation } = machine?.node ?? {};
    if (host === undefined || incarnation === undefined) return;
    const watch = host.host.watches.watch(
      { span: SPAN, startRevision: observer.next, withoutPuts: false, withoutDeletes: false, previous: false },
      {
        deliver: (events, revision) => {
          observer.seen.push({ revision, events });
          observer.next = revision + 1n;
          return true;
        },
        compacted: (revision) => this.context.world.fail(new Error(`${observer.name}: compacted at ${revision}`)),
      },
    );
    observer.open = { at: incarnation, watch };
  }

  private async look(host: MemberClient): Promise<void> {
    const keys = this.registers.keys();
    const key = keys[host.random.below(keys.length)] ?? '';
    try {
      const { revision, entries } = await host.call('unavailable', (node) =>
        node.host.range(rangeRequest(Buffer.from(key), Buffer.alloc(0)), true),
      );
      this.looks.push({ key, revision, value: entries[0]?.value.toString() });
      this.context.tally.acknowledged++;
    } catch (error) {
      if (!(error instanceof SynodError)) throw error;
      this.context.tally.failed++;
    }
  }

  private disagreements(): Anomaly[] {
    const [first, ...others] = this.observers.map(({ seen }) => seen.map(lineOf));
    return others.flatMap((lines) => {
      const at = lines.findIndex((line, index) => line !== first?.[index]);
      if (at < 0 && lines.length === first?.length) return [];
      const place = at < 0 ? Math.min(lines.length, first?.length ?? 0) : at;
      return [anomaly('watches-differ', `${first?.[place] ?? 'nothing more'} and ${lines[place] ?? 'nothing more'}`)];
    });
  }

  private missing(): Anomaly[] {
    const shown = new Map(this.observers[0]?.seen.map((each) => [each.revision, each]));
    return this.registers.acknowledgedWrites().flatMap(({ key, value, revision }) => {
      if (revision > this.end) return [];
      const event = shown.get(revision)?.events[0];
      // A deletion of nothing changes nothing in the range.
      if (event === undefined && value === undefined) return [];
      const same =
        event?.entry.key.toString() === key &&
        (event.type === 'put' ? event.entry.value.toString() : undefined) === value;
      if (same) return [];
      return [
        anomaly(
          'write-not-shown',
          `${key} = ${value ?? 'nothing'} at ${revision}, shown ${event === undefined ? 'nothing' : lineOf({ revision, events: [event] })}`,
        ),
      ];
    });
  }

  /** Replays the history beside the reads, in the order of their revisions. */
  private strangeLooks(): Anomaly[] {
    const { history } = this;
    const state = new Map<string, string>();
    const anomalies: Anomaly[] = [];
    let place = 0;
    for (const { key, revision, value } of this.looks.toSorted((a, b) => Number(a.revision - b.revision))) {
      for (let next = history[place]; next !== undefined && next.revision <= revision; next = history[++place]) {
        for (const event of next.events) happen(state, event);
      }
      if (state.get(key) === value) continue;
      anomalies.push(
        anomaly(
          'state-that-never-was',
          `${key} = ${value ?? 'nothing'} at ${revision}, was ${state.get(key) ?? 'nothing'}`,
        ),
      );
    }
    return anomalies;
  }
}

function happen(state: Map<string, string>, { type, entry }: WatchedEvent): void {
  if (type === 'put') state.set(entry.key.toString(), entry.value.toString());
  else state.delete(entry.key.toString());
}

function outOfOrder({ name, seen }: Observer): Anomaly[] {
  const at = seen.findIndex(({ revision }, index) => revision <= (seen[index - 1]?.revision ?? 0n));
  return at < 0 ? [] : [anomaly('watch-went-back', `${name}: ${seen[at]?.revision} after ${seen[at - 1]?.revision}`)];
}

export function lineOf({ revision, events }: Shown): string {
  const each = events.map(
    ({ type, entry }) => `${type} ${entry.key.toString()} ${type === 'put' ? entry.value.toString() : ''}`,
  );
  return `${revision}: ${each.join('; ')}`;
}

function anomaly(name: string, detail: string): Anomaly {
  return { name, detail, operations: [] };
}
