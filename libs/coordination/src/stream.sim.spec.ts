import { calmBut, type NodePorts, type SimNode, World } from '@synod/simulation';
import { SynodError } from '@synod/runtime';
import { MemoryCoordination } from './memory-coordination';
import type { CoordinationEvent } from './port';
import { StreamCoordination } from './stream-client';
import { serveCoordination } from './stream-server';

const MEMBERS = ['m1', 'm2'];

/** Two members that serve one store, and a client. */
class Bench {
  readonly world: World;
  readonly store = new MemoryCoordination();
  readonly members: readonly SimNode<NodePorts>[];
  private readonly clientNode: SimNode<NodePorts>;
  private built: StreamCoordination | undefined;

  constructor(seed: number, codec: boolean) {
    this.world = new World({ seed, shape: calmBut({ codec }) });
    this.members = MEMBERS.map((name) =>
      this.world.addNode(name, (ports) => {
        serveCoordination(ports, this.store);
        return ports;
      }),
    );
    this.clientNode = this.world.addNode('client', (ports) => ports, { role: 'client' });
    for (const node of [...this.members, this.clientNode]) node.start();
  }

  async client(): Promise<StreamCoordination> {
    await this.world.run(() => this.clientNode.host !== undefined);
    this.built ??= new StreamCoordination(
      this.clientNode.host!,
      MEMBERS.map((name) => `${name}:1`),
    );
    return this.built;
  }

  async settle<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    const mark = (): void => void (settled = true);
    promise.then(mark, mark);
    await this.world.run(() => settled);
    return promise;
  }
}

const key = (text: string): Buffer => Buffer.from(text);

describe.each([
  ['frozen objects', false],
  ['bytes', true],
])('a coordination store reached by %s', (_, codec) => {
  it('answers every call', async () => {
    const bench = new Bench(1, codec);
    const client = await bench.client();
    const lease = await bench.settle(client.grantLease(10));
    const write = client.transaction({
      compare: [{ key: key('a'), target: 'create-revision', equals: 0n }],
      success: [
        { kind: 'put', key: key('a'), value: Buffer.from([0, 255]), lease },
        { kind: 'range', key: key('a') },
      ],
      failure: [],
    });
    expect(await bench.settle(write)).toMatchObject({ succeeded: true, revision: 2n, ranges: [[], [{ lease }]] });
    expect((await bench.settle(client.range(key('a'), key('b')))).entries).toEqual([
      { key: key('a'), value: Buffer.from([0, 255]), createRevision: 2n, modRevision: 2n, version: 1n, lease },
    ]);
    expect(await bench.settle(client.keepLeaseAlive(lease))).toBe(10);
    await bench.settle(client.revokeLease(lease));
    expect((await bench.settle(client.range(key('a')))).entries).toEqual([]);
  });

  it('watches on at another member, missing nothing and repeating nothing', async () => {
    const bench = new Bench(2, codec);
    const client = await bench.client();
    const seen: bigint[] = [];
    const cancel = client.watch(
      { key: key('a'), startRevision: 2n },
      { events: (_events: readonly CoordinationEvent[], revision) => seen.push(revision), compacted: () => undefined },
    );
    for (let round = 0; round < 8; round++) {
      bench.store.put(key('a'), key(String(round)));
      if (round % 3 === 1) bench.members[0]?.kill('process');
      if (round % 3 === 2) bench.members[0]?.start();
      await bench.world.run(bench.world.now + 100_000);
    }
    await bench.world.run(() => seen.length === 8);
    expect(seen).toEqual(Array.from({ length: 8 }, (_, index) => BigInt(index + 2)));
    cancel();
    bench.store.put(key('a'), key('last'));
    await bench.world.run(bench.world.now + 1_000_000);
    expect(seen).toHaveLength(8);
  });

  it('ends a watch whose history is gone', async () => {
    const bench = new Bench(3, codec);
    const client = await bench.client();
    for (const value of ['1', '2', '3']) bench.store.put(key('a'), key(value));
    bench.store.compact(3n);
    let compacted = 0n;
    client.watch(
      { key: key('a'), startRevision: 2n },
      { events: () => undefined, compacted: (at) => (compacted = at) },
    );
    await bench.world.run(() => compacted !== 0n);
    expect(compacted).toBe(3n);
  });

  it('reads at a member that answers, and says of a write whether it may have been done', async () => {
    const bench = new Bench(4, codec);
    const client = await bench.client();
    await bench.settle(client.range(key('a')));
    bench.members[0]?.kill('process');
    expect((await bench.settle(client.range(key('a')))).entries).toEqual([]);
    bench.store.fate = () => 'lost-reply';
    const kind = (promise: Promise<unknown>): Promise<unknown> =>
      bench.settle(promise.catch((error: unknown) => (error instanceof SynodError ? error.kind : error)));
    expect(await kind(client.grantLease(5))).toBe('outcome-unknown');
    expect(await kind(client.range(key('a')))).toBe('unavailable');
  });
});
