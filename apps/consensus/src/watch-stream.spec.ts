import { ManualTime } from '@synod/coordination';
import { StateBench, put, txn } from './testing/state-bench';
import { WatchHub } from './watch-hub';
import { WatchStream, type WatchStreamRequest, type WatchStreamResponse } from './watch-stream';

type Create = WatchStreamRequest & { readonly kind: 'create' };

class Bench extends StateBench {
  readonly time = new ManualTime();
  readonly hub = new WatchHub(this.machine.keySpace, this.store, this.time);
  readonly sent: WatchStreamResponse[] = [];
  room = Infinity;
  private readonly waiting: (() => void)[] = [];
  readonly stream = new WatchStream(
    this.hub,
    {
      send: (response) => {
        if (this.room === 0) return false;
        this.room--;
        this.sent.push(response);
        return true;
      },
      drained: () => new Promise((resolve) => this.waiting.push(resolve)),
    },
    { timers: this.time, random: { below: () => 0, bytes: (size) => Buffer.alloc(size) } },
  );
  private published = 0;

  override apply(command: Parameters<StateBench['apply']>[0]): ReturnType<StateBench['apply']> {
    const result = super.apply(command);
    this.hub.publish(this.changes.slice(this.published));
    this.published = this.changes.length;
    return result;
  }

  create(key: string, options: Partial<Create> = {}): Promise<void> {
    return this.stream.receive({
      kind: 'create',
      key: Buffer.from(key),
      rangeEnd: Buffer.alloc(0),
      watchId: 0n,
      startRevision: 0n,
      withoutPuts: false,
      withoutDeletes: false,
      previous: false,
      progressNotify: false,
      fragment: false,
      ...options,
    });
  }

  async makeRoom(room: number): Promise<void> {
    this.room = room;
    for (const resolve of this.waiting.splice(0)) resolve();
    await this.time.settle();
  }

  /** What was sent since the last call, in short. */
  lines(): string[] {
    return this.sent.splice(0).map(({ watchId, revision, events, ...rest }) => {
      const flags = Object.entries(rest).map(([name, value]) => (value === true ? name : `${name}=${String(value)}`));
      return [`#${watchId}@${revision}`, ...flags, ...(events ?? []).map(({ entry }) => entry.key.toString())].join(
        ' ',
      );
    });
  }
}

it('says that a watch was made before it delivers, under ids from 0', async () => {
  const bench = new Bench();
  bench.put('a', '1');
  await bench.create('a', { startRevision: 2n });
  await bench.create('b');
  bench.put('b', '1');
  await bench.time.settle();
  expect(bench.lines()).toEqual(['#0@2 created', '#1@2 created', '#1@3 b', '#0@2 a']);
});

it('takes an id of the client, and refuses one that is in use', async () => {
  const bench = new Bench();
  await bench.create('a', { watchId: 1n });
  await bench.create('a');
  await bench.create('a');
  await bench.create('a', { watchId: 2n });
  expect(bench.lines()).toEqual([
    '#1@1 created',
    '#0@1 created',
    '#2@1 created',
    '#-1@1 created canceled cancelReason=mvcc: duplicate watch ID provided on the WatchStream',
  ]);
});

it('watches everything under an empty key, and refuses a range that can hold none', async () => {
  const bench = new Bench();
  await bench.create('', { rangeEnd: Buffer.from([0]) });
  await bench.create('b', { rangeEnd: Buffer.from('a') });
  bench.put('x', '1');
  expect(bench.lines()).toEqual([
    '#0@1 created',
    '#-1@1 created canceled cancelReason=mvcc: watcher range is empty',
    '#0@2 x',
  ]);
});

it('cancels a watch once, and knows nothing of others', async () => {
  const bench = new Bench();
  await bench.create('a');
  await bench.stream.receive({ kind: 'cancel', watchId: 0n });
  await bench.stream.receive({ kind: 'cancel', watchId: 0n });
  await bench.stream.receive({ kind: 'cancel', watchId: 9n });
  bench.put('a', '1');
  expect(bench.lines()).toEqual(['#0@1 created', '#0@1 canceled cancelReason=']);
});

it('tells a watch whose history is gone where the history begins', async () => {
  const bench = new Bench();
  for (const value of ['1', '2', '3']) bench.put('a', value);
  bench.apply({ kind: 'compact', revision: 4n });
  await bench.create('a', { startRevision: 2n });
  await bench.time.settle();
  expect(bench.lines()).toEqual(['#0@4 created', '#0@4 canceled compactRevision=4']);
});

// etcd#15220: progress was told ahead of events.
it('answers progress only once everything before is delivered', async () => {
  const bench = new Bench();
  bench.put('a', '1');
  await bench.create('a', { startRevision: 2n });
  await bench.stream.receive({ kind: 'progress' });
  bench.put('a', '2');
  await bench.time.settle();
  expect(bench.lines()).toEqual(['#0@2 created', '#0@2 a', '#0@3 a', '#-1@3']);
});

it('keeps one response for each watch of a client that does not read, and loses nothing', async () => {
  const bench = new Bench();
  await bench.create('a');
  await bench.create('b');
  bench.room = 0;
  for (let index = 0; index < 5; index++) {
    bench.put('a', String(index));
    bench.put('b', String(index));
  }
  void bench.stream.receive({ kind: 'progress' });
  expect(bench.lines()).toEqual(['#0@1 created', '#1@1 created']);
  await bench.makeRoom(3);
  const first = bench.lines();
  expect(first).toHaveLength(3);
  await bench.makeRoom(Infinity);
  const all = [...first, ...bench.lines()];
  expect(all.filter((line) => line.endsWith('a'))).toEqual([2, 4, 6, 8, 10].map((revision) => `#0@${revision} a`));
  expect(all.filter((line) => line.endsWith('b'))).toEqual([3, 5, 7, 9, 11].map((revision) => `#1@${revision} b`));
  expect(all.at(-1)).toBe('#-1@11');
});

it('does not listen to a client that does not read', async () => {
  const bench = new Bench();
  bench.room = 0;
  let listening = false;
  void bench.create('a').then(() => (listening = true));
  await bench.time.settle();
  expect(listening).toBe(false);
  await bench.makeRoom(1);
  expect([listening, bench.lines()]).toEqual([true, ['#0@1 created']]);
});

it('tells now and then how far the store is, unless events did', async () => {
  const bench = new Bench();
  await bench.create('a', { progressNotify: true });
  await bench.create('b');
  await bench.time.advance(600_000_000);
  bench.put('c', '1');
  expect(bench.lines()).toEqual(['#0@1 created', '#1@1 created']);
  await bench.time.advance(600_000_000);
  expect(bench.lines()).toEqual(['#0@2']);
  bench.put('a', '1');
  await bench.time.advance(600_000_000);
  expect(bench.lines()).toEqual(['#0@3 a']);
});

it('splits what is too large for one response, if the client can put it together', async () => {
  const bench = new Bench();
  const everything = { rangeEnd: Buffer.from([0]) };
  await bench.create('a', { ...everything, fragment: true });
  await bench.create('a', everything);
  const large = 'x'.repeat(1_000_000);
  bench.apply(
    txn(
      [],
      ['a', 'b', 'c'].map((key) => put(key, large)),
    ),
  );
  expect(bench.lines().slice(2)).toEqual(['#0@2 fragment a b', '#0@2 c', '#1@2 a b c']);
});

it('ends every watch when the stream does', async () => {
  const bench = new Bench();
  await bench.create('a');
  bench.stream.cancelAll('etcdserver: no leader');
  bench.put('a', '1');
  expect(bench.lines()).toEqual(['#0@1 created', '#0@1 canceled cancelReason=etcdserver: no leader']);
  expect(bench.hub.size).toBe(0);
});
