import type { SchedulerEffect } from './events';
import { JobScheduler } from './scheduler';
import type { AttemptResult } from './task-table';

const RESULT: AttemptResult = { counters: { records: 10 }, outputBytes: [5, 0] };

/** A job of two maps and two reduces, and short words for what happens to it. */
function job(options: { splits?: number; attemptsMax?: number; outputsLostMax?: number } = {}) {
  const scheduler = new JobScheduler({
    job: 'j',
    splits: options.splits ?? 2,
    partitions: 2,
    attemptsMax: options.attemptsMax ?? 4,
    outputsLostMax: options.outputsLostMax ?? 5,
    isLocal: (split, worker) => worker === `near-${split}`,
  });
  const names = (effects: readonly SchedulerEffect[]): string[] => effects.map(describeEffect);
  return {
    scheduler,
    offer: (worker: string, slots = 1) => names(scheduler.step({ kind: 'offer', worker, slots })),
    finish: (worker: string, attempt: string, result = RESULT) =>
      names(scheduler.step({ kind: 'attempt-finished', worker, attempt, result })),
    fail: (worker: string, attempt: string, fatal = false) =>
      names(scheduler.step({ kind: 'attempt-failed', worker, attempt, reason: 'it threw', fatal })),
    failFetch: (worker: string, attempt: string, ...sources: string[]) =>
      names(scheduler.step({ kind: 'fetch-failed', worker, attempt, sources, reason: 'refused' })),
    lose: (worker: string) => names(scheduler.step({ kind: 'worker-lost', worker })),
    step: (event: Parameters<JobScheduler['step']>[0]) => names(scheduler.step(event)),
  };
}

function describeEffect(effect: SchedulerEffect): string {
  switch (effect.kind) {
    case 'assign-map':
    case 'stop':
    case 'discard':
      return `${effect.kind} ${effect.attempt} on ${effect.worker}`;
    case 'assign-reduce':
      return `assign-reduce ${effect.attempt} on ${effect.worker} from ${effect.sources.map((s) => s.attempt).join(' ')}`;
    case 'commit-output':
      return `commit-output ${effect.parts.join(' ')}`;
    case 'finished':
      return `finished ${effect.outcome.kind}${'reason' in effect.outcome ? `: ${effect.outcome.reason}` : ''}`;
  }
}

/** Both maps done, by `a` and `b`. */
function mapped() {
  const j = job();
  j.offer('a');
  j.offer('b');
  j.finish('a', 'j-m00000.1');
  j.finish('b', 'j-m00001.1');
  return j;
}

describe('JobScheduler', () => {
  it('runs the maps, then the reduces, then commits all parts at once', () => {
    const j = job();
    expect(j.offer('a', 2)).toEqual(['assign-map j-m00000.1 on a', 'assign-map j-m00001.1 on a']);
    expect(j.finish('a', 'j-m00000.1')).toEqual([]);
    expect(j.offer('a')).toEqual([]); // Invariant `reduce-after-all-maps`: map 1 still runs.
    expect(j.finish('a', 'j-m00001.1')).toEqual([]);
    expect(j.offer('a', 9)).toEqual([
      'assign-reduce j-r00000.1 on a from j-m00000.1 j-m00001.1',
      'assign-reduce j-r00001.1 on a from ', // Nothing was emitted for partition 1.
    ]);
    expect(j.finish('a', 'j-r00001.1')).toEqual([]);
    expect(j.finish('a', 'j-r00000.1')).toEqual(['commit-output j-r00000.1 j-r00001.1']);
    expect(j.scheduler.phase).toBe('committing');
    expect(j.step({ kind: 'output-committed' })).toEqual(['finished succeeded']);
  });

  // Dean & Ghemawat, §3.3: completed maps are re-executed on a failure because their output is on the failed machine.
  it('runs a completed map again when its worker is lost, before any reduce', () => {
    const j = mapped();
    j.lose('a');
    expect(j.scheduler.phase).toBe('mapping');
    expect(j.offer('b', 2)).toEqual(['assign-map j-m00000.2 on b']);
    expect(j.scheduler.mapTasks[0]?.outputsLost).toBe(1);
    j.finish('b', 'j-m00000.2');
    expect(j.offer('b')).toEqual(['assign-reduce j-r00000.1 on b from j-m00000.2 j-m00001.1']);
  });

  // §3.3: completed reduces are not, because their output is in the global file system.
  it('keeps a completed reduce when its worker is lost', () => {
    const j = mapped();
    j.offer('a');
    j.finish('a', 'j-r00000.1');
    j.lose('a');
    expect(j.scheduler.reducesCompleted).toBe(1);
  });

  it('leaves maps alone when a worker is lost after the last reduce', () => {
    const j = mapped();
    j.offer('b', 2);
    j.finish('b', 'j-r00000.1');
    j.finish('b', 'j-r00001.1');
    expect(j.lose('a')).toEqual([]);
    expect(j.scheduler.mapsCompleted).toBe(2);
    expect(j.step({ kind: 'output-committed' })).toEqual(['finished succeeded']);
  });

  it('takes an output that cannot be fetched as lost, and blames neither the reduce nor the worker', () => {
    const j = mapped();
    j.offer('b');
    j.failFetch('b', 'j-r00000.1', 'j-m00000.1');
    expect(j.offer('b', 2)).toEqual(['assign-map j-m00000.2 on b']);
    j.finish('b', 'j-m00000.2');
    expect(j.offer('b')).toEqual(['assign-reduce j-r00000.2 on b from j-m00000.2 j-m00001.1']);
    expect(j.scheduler.reduceTasks[0]?.failures).toBe(0);
  });

  it('gives up a job whose map output is lost over and over', () => {
    const j = job({ splits: 1, outputsLostMax: 1 });
    for (const round of [1, 2]) {
      j.offer('a');
      j.finish('a', `j-m00000.${round}`);
      j.offer('b');
      const effects = j.failFetch('b', `j-r00000.${round}`, `j-m00000.${round}`);
      expect(effects).toEqual(
        round === 1 ? [] : ['finished failed: the output of map task 0 was lost 2 times: refused'],
      );
    }
  });

  it('drops the output of a superseded attempt, but not that of a committed one whose word came twice', () => {
    const j = job();
    j.offer('a');
    j.lose('a');
    j.offer('b');
    expect(j.finish('a', 'j-m00000.1')).toEqual(['discard j-m00000.1 on a']);
    j.finish('b', 'j-m00000.2');
    expect(j.finish('b', 'j-m00000.2')).toEqual([]);
    expect(j.scheduler.mapsCompleted).toBe(1);
  });

  it('counts what committed attempts report, once', () => {
    const j = mapped();
    expect(j.scheduler.counters()).toEqual({ records: 20 });
    j.lose('a');
    j.offer('b');
    j.finish('b', 'j-m00000.2');
    expect(j.scheduler.counters()).toEqual({ records: 20 });
  });

  it('tries a failing task a bounded number of times, then stops everything and says why', () => {
    const j = job({ attemptsMax: 2 });
    j.offer('a', 2);
    expect(j.fail('a', 'j-m00000.1')).toEqual([]);
    expect(j.offer('b')).toEqual(['assign-map j-m00000.2 on b']);
    expect(j.fail('b', 'j-m00000.2')).toEqual([
      'stop j-m00001.1 on a',
      'finished failed: map task 0 failed 2 times: it threw',
    ]);
    expect(j.offer('a')).toEqual([]);
    expect(j.finish('a', 'j-m00001.1')).toEqual(['discard j-m00001.1 on a']);
  });

  it('does not repeat what cannot end better', () => {
    const j = job();
    j.offer('a');
    expect(j.fail('a', 'j-m00000.1', true)).toEqual(['finished failed: map task 0 failed once: it threw']);
  });

  it('stops running attempts when it is cancelled, unless the parts are getting their names', () => {
    const j = job();
    j.offer('a');
    expect(j.step({ kind: 'cancel', reason: 'asked' })).toEqual(['stop j-m00000.1 on a', 'finished cancelled: asked']);
    const late = mapped();
    late.offer('a', 2);
    late.finish('a', 'j-r00000.1');
    late.finish('a', 'j-r00001.1');
    expect(late.step({ kind: 'cancel', reason: 'asked' })).toEqual([]);
    expect(late.step({ kind: 'output-failed', reason: 'ENOSPC' })).toEqual(['finished failed: ENOSPC']);
  });

  it('prefers a split near the worker, and repeats lost work before anything else', () => {
    const j = job({ splits: 4 });
    expect(j.offer('near-2')).toEqual(['assign-map j-m00002.1 on near-2']);
    expect(j.offer('far')).toEqual(['assign-map j-m00000.1 on far']);
    j.lose('near-2');
    expect(j.offer('near-3', 2)).toEqual(['assign-map j-m00002.2 on near-3', 'assign-map j-m00003.1 on near-3']);
  });

  it('reduces an empty input to empty parts', () => {
    const j = job({ splits: 0 });
    expect(j.offer('a', 2)).toEqual(['assign-reduce j-r00000.1 on a from ', 'assign-reduce j-r00001.1 on a from ']);
  });

  it('assigns 20,000 maps and 200 reduces without stalling', () => {
    const j = job({ splits: 20_000 });
    let assigned = 0;
    for (let at = 0; at < 2_000; at++) assigned += j.offer(`w${at}`, 10).length;
    expect(assigned).toBe(20_000);
  });
});
