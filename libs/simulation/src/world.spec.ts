import { invariant } from '@synod/invariant';
import { SeedFailure } from './failure';
import type { NodePorts } from './sim-node';
import { chatter } from './testing/chatter';
import { inOtherProcess } from './testing/other-process';
import { World } from './world';

// Virtual time is bounded where it matters; a busy machine may take its own.
jest.setTimeout(60_000);

/** Runs `body` as the host of one node and gives what the run ended with. */
async function failureOf(body: (ports: NodePorts) => unknown): Promise<SeedFailure> {
  const world = new World({ seed: 7 });
  world.addNode('n1', (ports) => body(ports)).start();
  const failure: unknown = await world.run(1_000_000).catch((error: unknown) => error);
  if (!(failure instanceof SeedFailure)) throw new Error('the world did not fail');
  expect(world.failure).toBe(failure);
  return failure;
}

describe('World', () => {
  it('runs events by time, and those of one time in the order they were scheduled', async () => {
    const world = new World({ seed: 1 });
    const order: string[] = [];
    for (const [name, at] of [
      ['late', 30],
      ['b', 20],
      ['early', 10],
      ['c', 20],
    ] as const)
      world.after(at, () => order.push(name));
    await world.run(20);
    expect(order).toEqual(['early', 'b', 'c']);
    expect(world.now).toBe(20);
    await world.run(100);
    expect([order.at(-1), world.now]).toEqual(['late', 100]);
  });

  it('runs every promise job of an event to its end before time moves, however long the chain', async () => {
    const world = new World({ seed: 1 });
    const seen: number[] = [];
    for (let at = 1; at <= 300; at++) {
      world.after(at, () => {
        void (async () => {
          for (let link = 0; link < 100; link++) await Promise.resolve();
          seen.push(world.now - at);
        })();
      });
    }
    await world.run(300);
    expect(seen).toEqual(Array.from({ length: 300 }, () => 0));
  });

  it('asks a predicate before the first event and after each, and gives up in virtual time', async () => {
    const world = new World({ seed: 1 });
    expect(await world.run(() => true)).toBe(true);
    expect(world.events).toBe(0);
    let count = 0;
    const tick = (): void => {
      count++;
      world.after(1_000, tick);
    };
    tick();
    expect(await world.run(() => count === 5)).toBe(true);
    expect(world.now).toBe(4_000);
    expect(await world.run(() => false, 10_000)).toBe(false);
    expect(world.now).toBe(14_000);
  });

  it('skips what was cancelled', async () => {
    const world = new World({ seed: 1 });
    world.after(5, () => world.fail(new Error('ran')))();
    expect(await world.run(10)).toBe(true);
  });
});

describe('a seed', () => {
  it('gives the same digest twice, and another than its neighbours', async () => {
    const digests = new Set<string>();
    for (const seed of [1, 2, 3, 4, 5, 6]) {
      const digest = await chatter(seed);
      expect(await chatter(seed)).toBe(digest);
      digests.add(digest);
    }
    expect(digests.size).toBe(6);
  });

  it('gives the same digest in another process', async () => {
    expect(inOtherProcess('chatter', '11')).toBe(await chatter(11));
  });

  it('gives the same digest when the real event loop never turns, unless a node waited for the real world', () => {
    expect(inOtherProcess('chatter', '11,frozen')).toBe(inOtherProcess('chatter', '11,turning'));
    expect(inOtherProcess('leaky', 'frozen')).not.toBe(inOtherProcess('leaky', 'turning'));
  });

  it('is not replayed by one that draws a single number more', async () => {
    expect(await chatter(1, { extraDraw: true })).not.toBe(await chatter(1));
  });
});

describe('a world fails', () => {
  it('by the name of the invariant that a node breaks', async () => {
    const failure = await failureOf((ports) => {
      ports.timers.after(10_000, () => invariant(false, 'sky-stays-up', () => 'it fell'));
      return {};
    });
    expect(failure).toMatchObject({ invariant: 'sky-stays-up', node: 'n1', seed: 7 });
    expect(failure.message).toContain('it fell');
    expect(failure.atUs).toBeGreaterThanOrEqual(10_000);
  });

  it('on any error of a host: thrown or rejected when it is built', async () => {
    const thrown = failureOf(() => {
      throw new Error('thrown');
    });
    expect((await thrown).message).toContain('thrown');
    expect((await failureOf(() => Promise.reject(new Error('rejected')))).message).toContain('rejected');
  });

  it('on a rejection that a host leaves unhandled, at once', () => {
    expect(inOtherProcess('stray-rejection', '')).toBe('uncaught on n1: Error: ENOENT: missing');
  });

  it('on a watch that is kept after every event', async () => {
    const world = new World({ seed: 1 });
    world.always(() => invariant(world.now < 500, 'time-stands-still'));
    for (let at = 100; at < 1_000; at += 100) world.after(at, () => undefined);
    await expect(world.run(1_000)).rejects.toMatchObject({ invariant: 'time-stands-still', atUs: 500 });
    await expect(world.run(2_000)).rejects.toMatchObject({ invariant: 'time-stands-still', atUs: 500 });
  });

  it('when events breed faster than time passes', async () => {
    const world = new World({ seed: 1, eventsPerSecondMax: 1_000 });
    const storm = (): void => world.schedule(10, { id: 0, state: 'running' }, storm);
    storm();
    await expect(world.run(2_000_000)).rejects.toMatchObject({ invariant: 'events-bounded' });
  });
});
