import { Draws } from '../draw';
import { historyLines } from './history';
import { someOrderReplays } from './testing/brute-force';
import { atomicHistory } from './testing/parse-history';
import { checkWitnessOrder, type Atomic, type AtomicOperation } from './witness-order';

const legal = (text: string): void => expect(checkWitnessOrder(atomicHistory(text))).toEqual({ verdict: 'legal' });
const illegal = (text: string, ...names: string[]): void => {
  const verdict = checkWitnessOrder(atomicHistory(text));
  expect(verdict.verdict === 'illegal' ? verdict.anomalies.map(({ name }) => name) : [verdict.verdict]).toEqual(names);
};

describe('checkWitnessOrder tells twins apart:', () => {
  it('a snapshot at a timestamp', () => {
    legal(`a 0..1 put x 1, put y 1 @10
           b 2..3 put x 2, put y 2 @20
           c 4..5 read x 2, read y 2 @25
           d 0..9 read x 1, read y 1 @15`);
    illegal(
      `a 0..1 put x 1, put y 1 @10
       b 2..3 put x 2, put y 2 @20
       c 4..5 read x 2, read y 1 @25`,
      'read-differs-from-order',
    );
  });

  it('a read at an old timestamp, during and after the write that it misses', () => {
    legal(`a 0..5 put x 1 @10
           b 2..9 read x - @9`);
    illegal(
      `a 0..5 put x 1 @10
       b 6..9 read x - @9`,
      'order-against-time',
    );
  });

  it('a read-write transaction, whose reads must hold just before its own writes', () => {
    legal(`a 0..1 put x 1 @10
           b 2..9 read x 1, put x 2 @20
           c 2..9 read x 2, put x 3 @30`);
    illegal(
      `a 0..1 put x 1 @10
       b 2..9 read x 1, put x 2 @20
       c 2..9 read x 1, put x 3 @30`,
      'read-differs-from-order',
    );
  });

  it('write skew', () => {
    legal(`a 0..9 read x -, put y 1 @10
           b 0..9 read y 1, put x 1 @11`);
    illegal(
      `a 0..9 read x -, put y 1 @10
       b 0..9 read y -, put x 1 @11`,
      'read-differs-from-order',
    );
  });

  it('timestamps that go back in time', () => {
    legal(`a 0..1 put x 1 @10
           b 2..3 put y 1 @11`);
    illegal(
      `a 0..1 put x 1 @11
       b 2..3 put y 1 @10`,
      'order-against-time',
    );
  });

  it('one position for two writers', () => {
    legal(`a 0..9 put x 1 @10
           b 0..9 read x 1 @10`);
    illegal(
      `a 0..9 put x 1 @10
       b 0..9 put y 1 @10`,
      'position-taken-twice',
    );
  });

  it('a deletion, and a refusal', () => {
    legal(`a 0..1 put x 1 @1
           a 2..3 not x 2 @1
           a 4..5 put x - @2
           b 6..7 read x - @2
           b 8..9 not x 1 @2`);
    illegal(
      `a 0..1 put x 1 @1
       b 2..3 not x 1 @1`,
      'read-differs-from-order',
    );
  });

  it('an unknown write that is seen, at the place its version names or at the latest one possible', () => {
    legal(`a 0..? put x 1, put y 1
           b 5..6 put y 2 @20
           c 7..8 read x 1 of 10, read y 2 of 20 @30`);
    illegal(
      `a 0..? put x 1, put y 1
       b 5..6 put y 2 @20
       c 7..8 read x 1 of 10, read y 1 of 10 @30`,
      'read-differs-from-order',
    );
    legal(`a 0..? put x 1
           b 5..6 read x - @20
           c 7..8 read x 1 @30
           d 7..8 read x 1 @40`);
    illegal(
      `a 0..? put x 1
       b 5..6 read x 1 @20
       c 7..8 read x - @30`,
      'read-differs-from-order',
    );
    illegal(
      `b 5..6 read x 1 @20
       a 7..? put x 1`,
      'read-differs-from-order',
    );
  });

  it('a version that is not the one in the order', () => {
    illegal(
      `a 0..1 put x 1 @10
       b 2..3 read x 1 of 9 @20`,
      'read-differs-from-order',
    );
  });

  it('and admits what it cannot know', () => {
    const verdict = checkWitnessOrder(
      atomicHistory(`a 0..? put x 1, put y 1
                     b 5..6 put y 2 @20
                     c 7..8 read x 1 @30
                     d 9..10 read y 2 @40`),
    );
    expect(verdict.verdict).toBe('undecided');
  });
});

function replay(cells: ReadonlyMap<string, string>, atomic: Atomic): ReadonlyMap<string, string> | undefined {
  for (const sight of atomic.reads) {
    const held = cells.get(sight.key);
    if ('otherThan' in sight ? held === sight.otherThan : held !== sight.value) return undefined;
  }
  const after = new Map(cells);
  for (const { key, value } of atomic.writes) {
    if (value === undefined) after.delete(key);
    else after.set(key, value);
  }
  return after;
}

/** A random small history over two keys, half of it played truly, with positions that may be right. */
function smallHistory(draws: Draws): { readonly history: AtomicOperation[]; readonly honest: boolean } {
  const count = draws.between(2, 6);
  let cells: ReadonlyMap<string, string> = new Map();
  const lies = draws.chance(1, 2);
  const history = Array.from({ length: count }, (_, index): AtomicOperation => {
    const invokedAt = Math.max(0, index * 2 + draws.between(-3, 1));
    const at = index * 2 + draws.between(1, 4);
    const keys = ['x', 'y'].filter(() => draws.chance(1, 2));
    const reads = keys.map((key) => {
      const value = lies && draws.chance(1, 5) ? String(draws.below(count)) : cells.get(key);
      return value === undefined ? { key } : { key, value };
    });
    const writes = ['x', 'y']
      .filter(() => draws.chance(1, 3))
      .map((key) => (draws.chance(1, 5) ? { key } : { key, value: String(index) }));
    const happens = draws.chance(7, 8);
    const output = { reads, writes };
    if (happens) cells = replay(cells, { reads: [], writes }) ?? cells;
    const position = BigInt(10 * index + (lies && draws.chance(1, 5) ? draws.between(-15, 15) : 0) + 20);
    const outcome =
      happens && draws.chance(7, 8)
        ? ({ type: 'ok', at, output, position } as const)
        : ({ type: 'info', at, output } as const);
    return { index, process: `p${index}`, invokedAt, input: undefined, outcome };
  });
  return { history, honest: !lies };
}

it('calls legal only what some order explains, on 6,000 small histories, and all that was played truly', () => {
  const found = { legal: 0, illegal: 0, undecided: 0 };
  for (let seed = 0; seed < 6_000; seed++) {
    const draws = new Draws(seed, 'test', 'witness');
    const { history, honest } = smallHistory(draws);
    const { verdict } = checkWitnessOrder(history);
    found[verdict]++;
    const replays = someOrderReplays(history, new Map() as ReadonlyMap<string, string>, (cells, { outcome }) => {
      return outcome.output === undefined
        ? cells
        : replay(cells, outcome.type === 'ok' ? outcome.output : { ...outcome.output, reads: [] });
    });
    if (honest && verdict === 'illegal')
      throw new Error(`history ${seed} was true:\n${historyLines(history).join('\n')}`);
    if (verdict === 'legal' && !replays)
      throw new Error(`history ${seed} has no order:\n${historyLines(history).join('\n')}`);
  }
  expect(Math.min(found.legal, found.illegal)).toBeGreaterThan(1_000);
  expect(found.undecided).toBeLessThan(600);
});
