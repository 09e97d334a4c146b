import type { Clock, Timers } from '../clock';
import type { Random } from '../random';

/** What one scenario of the time suite works on: both of the same node. */
export interface TimeBench {
  readonly clock: Clock;
  readonly timers: Timers;
}

/** Runs one scenario to its end, turning virtual time meanwhile if the adapter lives in it. */
export type RunOnTime = (scenario: (bench: TimeBench) => Promise<void>) => Promise<void>;

/** The contract of the `Clock` and `Timers` ports as a jest suite; each adapter's spec calls it. */
export function describeTime(name: string, run: RunOnTime): void {
  const on = (fact: string, scenario: (bench: TimeBench) => Promise<void>): void => it(fact, () => run(scenario));
  describe(`${name} as a Clock with Timers`, () => {
    on('counts whole microseconds that never go back', async ({ clock, timers }) => {
      let before = clock.monotonicUs();
      for (let i = 0; i < 50; i += 1) {
        await elapsed(timers, i % 3 === 0 ? 500 : 0);
        const now = clock.monotonicUs();
        expect(Number.isSafeInteger(now)).toBe(true);
        expect(now).toBeGreaterThanOrEqual(before);
        before = now;
      }
      expect(Number.isSafeInteger(clock.wallMs())).toBe(true);
    });

    on(
      'never runs work inside the call that orders it, nor before the promises already settled',
      async ({ timers }) => {
        const order: string[] = [];
        const ran = new Promise<void>((resolve) => {
          timers.after(0, () => {
            order.push('timer');
            resolve();
          });
        });
        order.push('caller');
        void Promise.resolve().then(() => order.push('promise'));
        await ran;
        expect(order).toEqual(['caller', 'promise', 'timer']);
      },
    );

    on('runs work of the same delay 0 in the order of the calls', async ({ timers }) => {
      const order: number[] = [];
      for (let i = 0; i < 10; i += 1) timers.after(0, () => order.push(i));
      await elapsed(timers, 0);
      expect(order).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    });

    on('lets work order more work for the next turn', async ({ timers }) => {
      const order: string[] = [];
      await new Promise<void>((resolve) => {
        timers.after(0, () => {
          timers.after(0, () => {
            order.push('inner');
            resolve();
          });
          order.push('outer');
        });
        timers.after(0, () => order.push('sibling'));
      });
      expect(order).toEqual(['outer', 'sibling', 'inner']);
    });

    on('runs work no sooner than asked, by its own clock', async ({ clock, timers }) => {
      await Promise.all(
        [1, 300, 1_000, 1_001, 2_500, 4_999, 20_000].map(async (delayUs) => {
          const startUs = clock.monotonicUs();
          await elapsed(timers, delayUs);
          expect(clock.monotonicUs() - startUs).toBeGreaterThanOrEqual(delayUs);
        }),
      );
    });

    on('runs the shorter of two far apart delays first', async ({ timers }) => {
      const order: string[] = [];
      const long = elapsed(timers, 60_000).then(() => order.push('long'));
      await elapsed(timers, 1_000).then(() => order.push('short'));
      await long;
      expect(order).toEqual(['short', 'long']);
    });

    on('runs nothing that was cancelled, and takes a late cancel kindly', async ({ timers }) => {
      const ran: string[] = [];
      const cancels = [timers.after(0, () => ran.push('soon')), timers.after(2_000, () => ran.push('later'))];
      for (const cancel of cancels) cancel();
      const kept = timers.after(0, () => ran.push('kept'));
      await elapsed(timers, 5_000);
      expect(ran).toEqual(['kept']);
      kept();
      for (const cancel of cancels) cancel();
      await elapsed(timers, 0);
      expect(ran).toEqual(['kept']);
    });
  });
}

function elapsed(timers: Timers, delayUs: number): Promise<void> {
  return new Promise((resolve) => {
    timers.after(delayUs, resolve);
  });
}

/** The contract of the `Random` port as a jest suite; `make` gives one that was not used yet. */
export function describeRandom(name: string, make: () => Random): void {
  describe(`${name} as a Random`, () => {
    it('draws every whole number below its bound and no other', () => {
      const random = make();
      for (const bound of [1, 2, 3, 10]) {
        const drawn = new Set(Array.from({ length: 1_000 }, () => random.below(bound)));
        expect([...drawn].sort((a, b) => a - b)).toEqual(Array.from({ length: bound }, (_, i) => i));
      }
    });

    it('draws up to 2^32', () => {
      const random = make();
      const drawn = Array.from({ length: 200 }, () => random.below(2 ** 32));
      expect(drawn.every((n) => Number.isInteger(n) && n >= 0 && n < 2 ** 32)).toBe(true);
      expect(Math.max(...drawn)).toBeGreaterThan(2 ** 31);
    });

    it('gives as many bytes as asked, not the same twice', () => {
      const random = make();
      expect(random.bytes(0)).toHaveLength(0);
      expect(random.bytes(16)).toHaveLength(16);
      expect(random.bytes(16)).not.toEqual(random.bytes(16));
    });
  });
}
