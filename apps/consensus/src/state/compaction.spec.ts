import fc from 'fast-check';
import { StateBench, get, put, remove, txn, under } from '../testing/state-bench';
import { compactionPending } from './compaction';

/** Runs the steps that the leader proposes after a compaction. */
function finish(bench: StateBench, events = 3): number {
  for (let steps = 1; ; steps++) {
    const result = bench.apply({ kind: 'compact-step', events });
    if (result.kind === 'compact-step' && result.finished) return steps;
  }
}

function versionCount(bench: StateBench): number {
  return [...bench.machine.keySpace.versionsFrom(bench.store, { revision: 0n, sub: 0 })].length;
}

describe('a compaction', () => {
  it('gives up the states before its revision, and only those', () => {
    const bench = new StateBench();
    for (const value of ['1', '2', '3']) bench.put('a', value);
    expect(bench.apply({ kind: 'compact', revision: 3n })).toEqual({ kind: 'compacted', revision: 4n });
    const look = (): unknown[] => [2n, 3n, 4n].map((revision) => bench.list('', { revision }));
    const expected = [['compacted'], ['a=2'], ['a=3']];
    expect(look()).toEqual(expected);
    finish(bench);
    expect(look()).toEqual(expected);
    expect(versionCount(bench)).toBe(2);
  });

  it('is refused at or below an earlier one, and above the present', () => {
    const bench = new StateBench();
    bench.put('a', '1');
    expect(bench.apply({ kind: 'compact', revision: 3n })).toMatchObject({ kind: 'refused', error: 'future-revision' });
    expect(bench.apply({ kind: 'compact', revision: 2n })).toMatchObject({ kind: 'compacted' });
    expect(bench.apply({ kind: 'compact', revision: 2n })).toMatchObject({ kind: 'refused', error: 'compacted' });
    expect(bench.apply({ kind: 'compact', revision: -5n })).toMatchObject({ error: 'compacted' });
  });

  // etcd#19179: a watch that starts at the compacted revision missed its deletions.
  it('keeps the deletions of its own revision for watches that start there, until the next one', () => {
    const bench = new StateBench();
    bench.put('a', '1');
    bench.remove('a');
    bench.apply({ kind: 'compact', revision: 3n });
    finish(bench);
    const versions = [...bench.machine.keySpace.versionsFrom(bench.store, { revision: 3n, sub: 0 })];
    expect(versions).toMatchObject([{ key: Buffer.from('a'), version: 0n }]);
    bench.put('b', '1');
    bench.apply({ kind: 'compact', revision: 4n });
    finish(bench);
    expect(versionCount(bench)).toBe(1);
    expect(bench.machine.keySpace.latest(bench.store, Buffer.from('a'))).toBeUndefined();
  });

  it('removes in steps of bounded size', () => {
    const bench = new StateBench();
    for (let index = 0; index < 10; index++) bench.put('a', String(index));
    bench.apply({ kind: 'compact', revision: 11n });
    expect(compactionPending(bench.machine.keySpace, bench.store)).toBe(true);
    expect(finish(bench, 4)).toBe(3);
    expect(compactionPending(bench.machine.keySpace, bench.store)).toBe(false);
    expect(versionCount(bench)).toBe(1);
  });
});

/** The slow, obvious twin: every state there ever was. */
class Twin {
  readonly states: ReadonlyMap<string, string>[] = [new Map(), new Map()];
  compacted = -1n;

  change(edit: (state: Map<string, string>) => void): void {
    const next = new Map(this.states.at(-1));
    edit(next);
    this.states.push(next);
  }

  at(revision: bigint): string[] {
    if (revision < this.compacted) return ['compacted'];
    return [...(this.states[Number(revision)] ?? [])].map(([key, value]) => `${key}=${value}`).sort();
  }

  has(key: string): boolean {
    return this.states.at(-1)?.has(key) ?? false;
  }
}

const KEY = fc.constantFrom('a', 'b', 'c', 'd');
const STEP = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('put' as const), key: KEY }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('remove' as const), key: KEY }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('txn' as const), key: KEY, other: KEY }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('compact' as const), back: fc.nat(5) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('step' as const), events: fc.integer({ min: 1, max: 4 }) }) },
);

it('leaves every state from its revision on as a store that kept all states has it', () => {
  fc.assert(
    fc.property(fc.array(STEP, { maxLength: 60 }), (steps) => {
      const bench = new StateBench();
      const twin = new Twin();
      let writes = 0;
      for (const step of steps) {
        const value = String(writes++);
        if (step.kind === 'put') {
          bench.put(step.key, value);
          twin.change((state) => state.set(step.key, value));
        } else if (step.kind === 'remove') {
          bench.remove(step.key);
          if (twin.has(step.key)) twin.change((state) => state.delete(step.key));
        } else if (step.kind === 'txn' && step.key !== step.other) {
          bench.apply(txn([], [put(step.key, value), remove(step.other)]));
          twin.change((state) => state.set(step.key, value).delete(step.other));
        } else if (step.kind === 'compact') {
          const revision = BigInt(Math.max(0, twin.states.length - 1 - step.back));
          if (bench.apply({ kind: 'compact', revision }).kind === 'compacted') twin.compacted = revision;
        } else if (step.kind === 'step') {
          bench.apply({ kind: 'compact-step', events: step.events });
        }
        for (let revision = 1; revision < twin.states.length; revision++) {
          expect(bench.list('', { revision: BigInt(revision) })).toEqual(twin.at(BigInt(revision)));
        }
      }
    }),
    { numRuns: 60 },
  );
});

it('keeps every event from its revision on', () => {
  fc.assert(
    fc.property(fc.array(STEP, { maxLength: 40 }), fc.nat(3), (steps, back) => {
      const bench = new StateBench();
      for (const step of steps) {
        if (step.kind === 'put') bench.put(step.key, 'x');
        if (step.kind === 'remove') bench.remove(step.key);
      }
      const now = bench.range(under(''));
      if (now.kind === 'refused') throw new Error(now.error);
      const revision = BigInt(Math.max(0, Number(now.revision) - back));
      bench.apply({ kind: 'compact', revision });
      finish(bench);
      const kept = [...bench.machine.keySpace.versionsFrom(bench.store, { revision, sub: 0 })].map(
        ({ place }) => place,
      );
      const made = bench.changes.filter((change) => change.revision >= revision).map((change) => change.revision);
      expect(kept.map((place) => place.revision)).toEqual(made);
    }),
    { numRuns: 60 },
  );
});

it('counts no version of a key that is gone', () => {
  const bench = new StateBench();
  bench.put('a', '1');
  bench.put('a', '2');
  bench.remove('a');
  bench.put('b', '1');
  bench.apply({ kind: 'compact', revision: 5n });
  finish(bench);
  expect(bench.range(get('a'))).toMatchObject({ count: 0n });
  expect(versionCount(bench)).toBe(1);
});
