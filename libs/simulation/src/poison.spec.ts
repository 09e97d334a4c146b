import crypto from 'node:crypto';
import timers from 'node:timers';
import timersPromises from 'node:timers/promises';
import { World } from './world';

// Virtual time is bounded where it matters; a busy machine may take its own.
jest.setTimeout(60_000);

const LEAKS: readonly (readonly [string, () => unknown])[] = [
  ['Date.now', () => Date.now()],
  ['new Date()', () => new Date()],
  ['Math.random', () => Math.random()],
  ['performance.now', () => performance.now()],
  ['process.hrtime', () => process.hrtime()],
  ['globalThis.setTimeout', () => setTimeout(() => undefined, 0)],
  ['globalThis.setImmediate', () => setImmediate(() => undefined)],
  ['node:timers.setTimeout', () => timers.setTimeout(() => undefined, 0)],
  ['node:timers/promises.setTimeout', () => timersPromises.setTimeout(0)],
  ['node:crypto.randomBytes', () => crypto.randomBytes(4)],
  ['node:crypto.randomUUID', () => crypto.randomUUID()],
];

describe('inside a running world', () => {
  it.each(LEAKS)('%s fails the seed, even if the error is swallowed', async (name, leak) => {
    const world = new World({ seed: 1 });
    world.after(5, () => {
      try {
        leak();
      } catch {
        // A host may catch what it does not understand; the seed fails all the same.
      }
    });
    await expect(world.run(10)).rejects.toMatchObject({
      invariant: 'no-leak-of-the-real-world',
      message: expect.stringContaining(name) as string,
    });
  });

  it('dates still convert and format', async () => {
    const world = new World({ seed: 1 });
    const texts: string[] = [];
    world.after(5, () => {
      texts.push(new Date(0).toISOString(), String(Date.UTC(2026, 0, 1)), String(new Date(5) instanceof Date));
    });
    await world.run(10);
    expect(texts).toEqual(['1970-01-01T00:00:00.000Z', '1767225600000', 'true']);
  });
});

it('gives everything back after a run, failed or not', async () => {
  const before = [Date, Math.random, performance.now, setTimeout, setImmediate, timers.setTimeout, crypto.randomBytes];
  const world = new World({ seed: 1 });
  world.after(1, () => {
    throw new Error('broken');
  });
  await expect(world.run(10)).rejects.toThrow('broken');
  await new World({ seed: 1 }).run(10);
  const after = [Date, Math.random, performance.now, setTimeout, setImmediate, timers.setTimeout, crypto.randomBytes];
  expect(after).toEqual(before);
  expect(Date.now()).toBeGreaterThan(1_700_000_000_000);
});
