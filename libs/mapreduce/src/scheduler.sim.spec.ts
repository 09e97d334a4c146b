import { simulateJob } from './simulation';

const SEEDS = 400;

describe('a job among failing workers', () => {
  it(`gives the output of a sequential run under ${SEEDS} seeded schedules of failures`, () => {
    const reached = new Map<string, number>();
    for (let seed = 1; seed <= SEEDS; seed++) {
      for (const [state, count] of simulateJob(seed).reached) reached.set(state, (reached.get(state) ?? 0) + count);
    }
    // A schedule that never met these would prove little.
    for (const state of [
      'succeeded',
      'cancelled',
      'attempt-failed',
      'fetch-failed',
      'zombie',
      'late-word-of-a-lost-worker',
      'superseded-attempt-discarded',
      'completed-map-lost-with-its-worker',
      'zombie-wrote-after-the-commit',
    ]) {
      expect([state, reached.get(state) ?? 0]).not.toEqual([state, 0]);
    }
  });

  it('replays a seed exactly', () => {
    expect(simulateJob(7)).toEqual(simulateJob(7));
    expect(simulateJob(7).digest).not.toBe(simulateJob(8).digest);
  });
});
