import {
  noProbes,
  type ConnectionHandler,
  type Entry,
  type Store,
  type StoreTransaction,
  type Transport,
} from '@synod/runtime';
import { chunkChecksum } from './snapshot-chunk';
import { SnapshotFetch } from './snapshot-fetch';
import type { SnapshotChunk, SnapshotDescriptor, SnapshotRequest, SnapshotResponse } from './snapshot-messages';

const SNAPSHOT: SnapshotDescriptor = {
  snapshotId: 's1',
  appliedThrough: 9,
  term: { round: 2, replica: 1 },
  configuration: { version: 0, members: [], highestId: 0 },
};
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

function chunk(after: string, keys: readonly string[], last = false, valueBytes = 1): SnapshotChunk {
  const entries: Entry[] = keys.map((key) => ({ key: Buffer.from(key), value: Buffer.alloc(valueBytes) }));
  const checksum = chunkChecksum(Buffer.from(after), entries);
  return { kind: 'chunk', snapshot: SNAPSHOT, after: Buffer.from(after), entries, checksum, last };
}

/** A receiver, with the sender, the store and time in the hands of the test. */
class Bench {
  readonly asked: string[] = [];
  readonly written: string[] = [];
  readonly ends: string[] = [];
  connections = 0;
  appliedHere = 5;
  private handler!: ConnectionHandler<SnapshotResponse>;
  private timer: (() => void) | undefined;
  private flushed: () => void = () => undefined;

  constructor() {
    const transport = {
      connect: (_protocol: unknown, _address: string, handler: ConnectionHandler<SnapshotResponse>) => {
        this.connections++;
        this.handler = handler;
        const send = ({ snapshotId, after }: SnapshotRequest): boolean => {
          this.asked.push(`${snapshotId}>${after.toString()}`);
          return true;
        };
        return { send, close: () => undefined };
      },
    } as unknown as Transport;
    const store = {
      transaction: (work: (transaction: StoreTransaction) => void) =>
        work({
          put: (key: Uint8Array) => void this.written.push(Buffer.from(key).toString()),
        } as unknown as StoreTransaction),
      flush: () => new Promise<void>((resolve) => (this.flushed = resolve)),
    } as unknown as Store;
    const after = (_us: number, run: () => void): (() => void) => {
      this.timer = run;
      return () => (this.timer = undefined);
    };
    new SnapshotFetch({
      ports: { transport, timers: { after }, log: silent, probes: noProbes },
      store,
      address: 'n1:1',
      request: { clusterId: 'c', group: 'g', replicaId: 3 },
      prefix: Buffer.from('/'),
      wants: ({ appliedThrough }) => appliedThrough > this.appliedHere,
      complete: ({ appliedThrough }) => this.ends.push(`complete ${appliedThrough}`),
      failed: (reason) => this.ends.push(reason),
      fault: () => this.ends.push('fault'),
    });
  }

  receive(response: SnapshotResponse): void {
    this.handler.receive(response);
  }

  breakOff(): void {
    this.handler.closed('broken');
  }

  time(): void {
    this.timer?.();
  }

  async flush(): Promise<void> {
    this.flushed();
    await Promise.resolve();
    await Promise.resolve();
  }
}

describe('SnapshotFetch', () => {
  it('asks for one chunk after the other, and goes on behind the last key over a new connection', () => {
    const bench = new Bench();
    bench.receive(chunk('', ['a', 'b']));
    bench.breakOff();
    bench.time();
    bench.receive(chunk('b', ['c'], true));
    expect(bench.asked).toEqual(['>', 's1>b', 's1>b']);
    expect([bench.connections, bench.written, bench.ends]).toEqual([2, ['/a', '/b', '/c'], ['complete 9']]);
  });

  it('believes no chunk that was harmed on its way', () => {
    const bench = new Bench();
    const harmed = chunk('', ['a']);
    harmed.entries[0]?.value.writeUInt8(1, 0);
    bench.receive(harmed);
    bench.time();
    expect([bench.written, bench.asked]).toEqual([[], ['>', '>']]);
  });

  it('takes no chunk twice, and none of another snapshot', () => {
    const bench = new Bench();
    bench.receive(chunk('', ['a']));
    bench.receive(chunk('', ['a']));
    expect(bench.written).toEqual(['/a']);
    bench.receive({ ...chunk('a', ['b']), snapshot: { ...SNAPSHOT, snapshotId: 's2' } });
    expect([bench.written, bench.ends]).toEqual([['/a'], ['it became another one']]);
  });

  it('ends when it has been overtaken, is refused, or hears nothing for long', () => {
    const overtaken = new Bench();
    overtaken.appliedHere = 9;
    overtaken.receive(chunk('', ['a']));
    const refused = new Bench();
    refused.receive({ kind: 'refused', reason: 'too many snapshots are being fetched' });
    const silentSender = new Bench();
    for (let turn = 0; turn < 40; turn++) silentSender.time();
    expect([overtaken, refused, silentSender].map(({ ends }) => ends)).toEqual([
      ['it is of no use any more'],
      ['too many snapshots are being fetched'],
      ['no chunk came in time'],
    ]);
  });

  it('asks for no more than the store has taken to its disk', async () => {
    const bench = new Bench();
    bench.receive(chunk('', ['a'], false, 5 << 20));
    expect(bench.asked).toEqual(['>']);
    await bench.flush();
    expect(bench.asked).toEqual(['>', 's1>a']);
  });
});
