import { ManualTime } from '@synod/coordination';
import fc from 'fast-check';
import { StateBench, put, remove, txn } from './testing/state-bench';
import { spanOf, type Span } from './state/span';
import { WatchHub, type Watch, type WatchedEvent, type WatchRequest } from './watch-hub';

const EVERYTHING: Span = spanOf(Buffer.from([0]), Buffer.from([0]));

function lineOf(revision: bigint, events: readonly Pick<WatchedEvent, 'type' | 'entry'>[]): string {
  return `${revision}: ${events.map(({ type, entry }) => `${type} ${entry.key.toString()}`).join(', ')}`;
}

/** A client that notes what it gets, one line per revision, and is full after `room` revisions. */
class Client {
  readonly lines: string[] = [];
  readonly events: WatchedEvent[] = [];
  caughtUp = 0;
  watch!: Watch;

  constructor(
    bench: Bench,
    request: Partial<WatchRequest> = {},
    private room = Infinity,
  ) {
    const whole = { span: EVERYTHING, startRevision: 0n, withoutPuts: false, withoutDeletes: false, previous: false };
    this.watch = bench.hub.watch(
      { ...whole, ...request },
      {
        deliver: (events, revision) => {
          this.events.push(...events);
          this.lines.push(lineOf(revision, events));
          return --this.room > 0;
        },
        compacted: (revision) => this.lines.push(`compacted ${revision}`),
        caughtUp: () => this.caughtUp++,
      },
    );
  }

  resume(room: number): void {
    this.room = room;
    this.watch.resume();
  }
}

class Bench extends StateBench {
  readonly time = new ManualTime();
  readonly hub = new WatchHub(this.machine.keySpace, this.store, this.time);
  private published = 0;
  private away = false;

  /** What others did meanwhile comes by snapshot. */
  snapshot(work: () => void): void {
    this.away = true;
    work();
    this.away = false;
    this.hub.reload();
  }

  override apply(command: Parameters<StateBench['apply']>[0]): ReturnType<StateBench['apply']> {
    const result = super.apply(command);
    if (!this.away) this.hub.publish(this.changes.slice(this.published));
    this.published = this.changes.length;
    return result;
  }
}

it('delivers what happens from now on, all changes of a revision together', () => {
  const bench = new Bench();
  bench.put('a', 'before');
  const client = new Client(bench);
  bench.put('a', '1');
  bench.apply(txn([], [put('b', '1'), remove('a')]));
  expect(client.lines).toEqual(['3: put a', '4: put b, delete a']);
});

it('delivers the history from a past revision first, and misses nothing that happens meanwhile', async () => {
  const bench = new Bench();
  bench.put('a', '1');
  bench.put('a', '2');
  const client = new Client(bench, { startRevision: 3n });
  expect(client.watch.caughtUp).toBe(false);
  bench.put('a', '3');
  expect(client.lines).toEqual([]);
  await bench.time.settle();
  bench.put('a', '4');
  expect(client.lines).toEqual(['3: put a', '4: put a', '5: put a']);
  expect([client.watch.caughtUp, client.caughtUp]).toEqual([true, 1]);
});

// etcd#20221: a watch from a future revision got earlier events.
it('waits for a revision that is still to come', () => {
  const bench = new Bench();
  const client = new Client(bench, { startRevision: 4n });
  for (const value of ['1', '2', '3']) bench.put('a', value);
  expect(client.lines).toEqual(['4: put a']);
});

it('delivers only the keys and the kinds of change that are wanted', async () => {
  const bench = new Bench();
  const span = spanOf(Buffer.from('b'), Buffer.from('d'));
  const clients = [
    new Client(bench, { span }),
    new Client(bench, { withoutPuts: true }),
    new Client(bench, { withoutDeletes: true }),
    new Client(bench, { span, startRevision: 1n, withoutDeletes: true }),
  ];
  for (const key of ['a', 'b', 'd']) bench.put(key, '1');
  bench.remove('b');
  await bench.time.settle();
  expect(clients.map(({ lines }) => lines)).toEqual([
    ['3: put b', '5: delete b'],
    ['5: delete b'],
    ['2: put a', '3: put b', '4: put d'],
    ['3: put b'],
  ]);
});

it('adds what each event replaced, if asked and not compacted', async () => {
  const bench = new Bench();
  const live = new Client(bench, { previous: true });
  bench.put('a', '1');
  bench.put('a', '2');
  bench.remove('a');
  bench.put('a', '3');
  const replaced = (client: Client): unknown[] => client.events.map(({ previous }) => previous?.value.toString());
  expect(replaced(live)).toEqual([undefined, '1', '2', undefined]);
  const late = new Client(bench, { previous: true, startRevision: 2n });
  await bench.time.settle();
  expect(replaced(late)).toEqual(replaced(live));
  bench.apply({ kind: 'compact', revision: 3n });
  bench.apply({ kind: 'compact-step', events: 100 });
  const afterCompaction = new Client(bench, { previous: true, startRevision: 3n });
  await bench.time.settle();
  expect(replaced(afterCompaction)).toEqual([undefined, '2', undefined]);
});

// etcd#17529: events were lost when a stream was starved.
it('keeps nothing for a client that is full, and goes on from the history when it has room', async () => {
  const bench = new Bench();
  const slow = new Client(bench, {}, 1);
  const quick = new Client(bench);
  for (const value of ['1', '2', '3', '4']) bench.put('a', value);
  expect(slow.lines).toEqual(['2: put a']);
  expect(slow.watch.caughtUp).toBe(false);
  slow.resume(2);
  await bench.time.settle();
  expect(slow.lines).toEqual(['2: put a', '3: put a', '4: put a']);
  slow.resume(Infinity);
  await bench.time.settle();
  bench.put('a', '5');
  expect(slow.lines).toEqual(quick.lines);
});

it('tells a watch that its history is compacted, and ends it', async () => {
  const bench = new Bench();
  for (const value of ['1', '2', '3', '4']) bench.put('a', value);
  bench.apply({ kind: 'compact', revision: 4n });
  const client = new Client(bench, { startRevision: 3n });
  const atCompacted = new Client(bench, { startRevision: 4n });
  await bench.time.settle();
  bench.put('a', '5');
  expect(client.lines).toEqual(['compacted 4']);
  expect(atCompacted.lines).toEqual(['4: put a', '5: put a', '6: put a']);
});

it('reads a long history in bounded steps, for all watches that are behind at once', async () => {
  const bench = new Bench();
  for (let index = 0; index < 2_500; index++) bench.put('a', String(index));
  const clients = [new Client(bench, { startRevision: 2n }), new Client(bench, { startRevision: 2_000n })];
  const cancelled = new Client(bench, { startRevision: 2n });
  cancelled.watch.cancel();
  await bench.time.settle();
  expect(clients.map(({ lines }) => lines.length)).toEqual([2_500, 502]);
  expect(cancelled.lines).toEqual([]);
  expect(bench.hub.size).toBe(2);
});

describe('when a snapshot takes the place of the state', () => {
  it('delivers from its history what a watch has missed, then what follows', async () => {
    const bench = new Bench();
    bench.put('a', '1');
    const client = new Client(bench);
    const future = new Client(bench, { startRevision: 6n });
    bench.put('a', '2');
    bench.snapshot(() => {
      bench.put('a', '3');
      bench.put('b', '4');
    });
    expect([client.watch.caughtUp, bench.hub.revision]).toEqual([false, 5n]);
    await bench.time.settle();
    bench.put('c', '5');
    expect(client.lines).toEqual(['3: put a', '4: put a', '5: put b', '6: put c']);
    expect(future.lines).toEqual(['6: put c']);
  });

  it('tells a watch that the history it misses was compacted', async () => {
    const bench = new Bench();
    bench.put('a', '1');
    const client = new Client(bench);
    bench.snapshot(() => {
      for (const value of ['2', '3', '4']) bench.put('a', value);
      bench.apply({ kind: 'compact', revision: 5n });
    });
    await bench.time.settle();
    expect(client.lines).toEqual(['compacted 5']);
  });
});

// etcd#18089: with a compaction at the revision of a deletion, a watch from there missed the deletion.
it('delivers the deletion at the compacted revision to a watch from there', async () => {
  const bench = new Bench();
  bench.put('a', '1');
  bench.remove('a');
  bench.apply({ kind: 'compact', revision: 3n });
  bench.apply({ kind: 'compact-step', events: 100 });
  const client = new Client(bench, { startRevision: 3n });
  await bench.time.settle();
  bench.put('a', '2');
  expect(client.lines).toEqual(['3: delete a', '4: put a']);
});

const KEY = fc.constantFrom('a', 'b', 'c');
const STEP = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('put' as const), key: KEY }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('remove' as const), key: KEY }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('txn' as const), key: KEY, other: KEY }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('watch' as const), back: fc.nat(6), room: fc.nat(3) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('resume' as const), which: fc.nat(9), room: fc.nat(3) }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'turn' as const }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('compact' as const), back: fc.nat(4) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('step' as const), events: fc.integer({ min: 1, max: 4 }) }) },
);

// etcd#17247: the events of a transaction came twice to a watch that caught up meanwhile.
it('delivers each event once, in order, whatever is written and compacted and however slowly it is read', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(STEP, { maxLength: 50 }), async (steps) => {
      const bench = new Bench();
      const clients: { readonly client: Client; readonly from: bigint }[] = [];
      for (const step of steps) {
        const now = bench.hub.revision;
        if (step.kind === 'put') bench.put(step.key, 'x');
        else if (step.kind === 'remove') bench.remove(step.key);
        else if (step.kind === 'txn') {
          if (step.key !== step.other) bench.apply(txn([], [put(step.key, 'x'), remove(step.other)]));
        } else if (step.kind === 'watch') {
          const from = now > BigInt(step.back) ? now - BigInt(step.back) + 1n : 1n;
          clients.push({ client: new Client(bench, { startRevision: from }, step.room + 1), from });
        } else if (step.kind === 'resume') clients[step.which]?.client.resume(step.room + 1);
        else if (step.kind === 'turn') await bench.time.settle();
        else if (step.kind === 'compact') bench.apply({ kind: 'compact', revision: now - BigInt(step.back) });
        else bench.apply({ kind: 'compact-step', events: step.events });
      }
      for (const { client } of clients) client.resume(Infinity);
      await bench.time.settle();
      for (const { client, from } of clients) {
        const whole = bench.changes
          .filter(({ revision }) => revision >= from)
          .map(({ revision, events }) => lineOf(revision, events));
        const compacted = client.lines.at(-1)?.startsWith('compacted') ?? false;
        const delivered = compacted ? client.lines.slice(0, -1) : client.lines;
        // Who was overtaken by a compaction has a part of it without a gap; everybody else has all of it.
        expect(delivered).toEqual(compacted ? whole.slice(0, delivered.length) : whole);
      }
    }),
    { numRuns: 80 },
  );
});
