import { Draws } from '../draw';
import { historyLines } from './history';
import { checkListAppend } from './list-append';
import type { ListOperation, ListStep } from './list-history';
import { someOrderReplays } from './testing/brute-force';
import { listHistory } from './testing/parse-history';
import { playLists, type ListDefect } from './testing/play-lists';

const names = (text: string): string[] => {
  const verdict = checkListAppend(listHistory(text));
  return verdict.verdict === 'illegal' ? verdict.anomalies.map(({ name }) => name) : [verdict.verdict];
};
const legal = (text: string): void => expect(names(text)).toEqual(['legal']);
const illegal = (text: string, ...expected: string[]): void => expect(names(text)).toEqual(expected);

// The names are those of Adya's thesis and of Elle's list-append checker; each illegal history has a legal twin beside it.
describe('checkListAppend tells twins apart:', () => {
  it('G0: two writers, each before the other', () => {
    legal(`a 0..9 append x 1, append y 1
           b 0..9 append x 2, append y 2
           c 0..9 read x [1 2], read y [1 2]`);
    illegal(
      `a 0..9 append x 1, append y 1
       b 0..9 append x 2, append y 2
       c 0..9 read x [1 2]
       d 0..9 read y [2 1]`,
      'G0',
    );
  });

  it('G1a: a read of what was aborted', () => {
    legal(`a 0..9! append x 1
           b 0..9 read x []`);
    illegal(
      `a 0..9! append x 1
       b 0..9 read x [1]`,
      'G1a',
    );
  });

  it('G1b: a read of what its writer had not finished with', () => {
    legal(`a 0..9 append x 1, append x 2
           b 0..9 read x [1 2]`);
    illegal(
      `a 0..9 append x 1, append x 2
       b 0..9 read x [1]`,
      'G1b',
      'G-single',
    );
  });

  it('appends of one transaction, side by side and torn apart', () => {
    legal(`a 0..9 append x 1, append x 2
           b 0..9 append x 3
           c 0..9 read x [3 1 2]`);
    illegal(
      `a 0..9 append x 1, append x 2
       b 0..9 append x 3
       c 0..9 read x [3 2 1]`,
      'torn-appends',
      'G1b',
    );
    illegal(
      `a 0..9 append x 1, append x 2
       b 0..9 append x 3
       c 0..9 read x [1 3 2]`,
      'torn-appends',
      'G0',
    );
  });

  it('G1c: two transactions that read each other', () => {
    legal(`a 0..9 append x 1, read y []
           b 0..9 append y 1, read x [1]`);
    illegal(
      `a 0..9 append x 1, read y [1]
       b 0..9 append y 1, read x [1]`,
      'G1c',
    );
  });

  it('G-single: a read that sees half of a transaction, and a lost update', () => {
    legal(`a 0..9 append x 1, append y 1
           b 0..9 read x [1], read y [1]`);
    illegal(
      `a 0..9 append x 1, append y 1
       b 0..9 read x [1], read y []
       c 0..9 read y [1]`,
      'G-single',
    );
    illegal(
      `a 0..9 read x [], append x 1
       b 0..9 read x [], append x 2
       c 0..9 read x [1 2]`,
      'G-single',
    );
  });

  it('G2: write skew', () => {
    legal(`a 0..9 read x [], append y 1
           b 0..9 read y [1], append x 1`);
    illegal(
      `a 0..9 read x [], append y 1
       b 0..9 read y [], append x 1`,
      'G2',
    );
  });

  it('real time: a stale read, and a write ordered into the past', () => {
    legal(`a 0..5 append x 1
           b 5..9 read x []
           c 6..9 read x [1]`);
    illegal(
      `a 0..4 append x 1
       b 5..9 read x []
       c 6..9 read x [1]`,
      'G-single-realtime',
    );
    illegal(
      `a 0..1 append x 1
       b 2..3 append x 2
       c 0..9 read x [2 1]`,
      'G0-realtime',
    );
  });

  it('process order, where times alone say nothing', () => {
    legal(`a 0..5 append x 1
           b 5..9 read x []
           c 0..9 read x [1]`);
    illegal(
      `a 0..5 append x 1
       a 5..9 read x []
       c 0..9 read x [1]`,
      'G-single-process',
    );
  });

  it('internal: a transaction that does not see itself', () => {
    legal('a 0..1 append x 1, read x [1], append x 2, read x [1 2]');
    illegal('a 0..1 append x 1, read x []', 'internal');
    illegal('a 0..1 read x [], append x 1, read x [2 1]\nb 0..1 append x 2', 'internal', 'G-single');
  });

  it('incompatible orders', () => {
    legal(`a 0..9 append x 1
           b 0..9 append x 2
           c 0..9 read x [1]
           d 0..9 read x [1 2]`);
    expect(
      names(`a 0..9 append x 1
             b 0..9 append x 2
             c 0..9 read x [1 2]
             d 0..9 read x [2 1]`),
    ).toContain('incompatible-order');
  });

  it('appends lost, doubled, and made by nobody', () => {
    legal(`a 0..1 append x 1
           b 0..1 append x 2
           c 1..3 read x [1]`);
    expect(
      names(`a 0..1 append x 1
             b 0..1 append x 2
             c 2..3 read x [1]`),
    ).toContain('lost-append');
    expect(names('a 0..1 append x 1\nb 2..3 read x [1 1]')).toContain('duplicate-append');
    illegal('b 2..3 read x [1]', 'phantom');
  });

  it('unknown transactions: unseen, seen, and seen in part', () => {
    legal(`a 0..? append x 1, append y 1
           b 5..6 read x [], read y []`);
    legal(`a 0..? append x 1, append y 1
           b 5..6 read x []
           c 7..8 read x [1], read y [1]`);
    illegal(
      `a 0..? append x 1, append y 1
       b 5..6 read x [1], read y []`,
      'G-single',
    );
    illegal(
      `a 0..? append x 1
       b 5..6 read x [1]
       c 7..8 read x []`,
      'G-single-realtime',
    );
  });

  it('predicates aside, a long fork', () => {
    legal(`a 0..9 append x 1
           b 0..9 append y 1
           c 0..9 read x [1], read y []
           d 0..9 read x [1], read y [1]`);
    illegal(
      `a 0..9 append x 1
       b 0..9 append y 1
       c 0..9 read x [1], read y []
       d 0..9 read x [], read y [1]`,
      'G2',
    );
  });

  it('and names the cycle', () => {
    const verdict = checkListAppend(listHistory('a 0..9 read x [], append y 1\nb 0..9 read y [], append x 1'));
    expect(verdict.verdict === 'illegal' && verdict.anomalies[0]?.detail).toBe('T0 -rw-> T1 -rw-> T0');
  });
});

/** A random small history: serial underneath, with some lists cut short or grown. */
function smallHistory(draws: Draws): ListOperation[] {
  const lists = new Map<string, number[]>();
  const lies = draws.chance(3, 4);
  const count = draws.between(2, 6);
  return Array.from({ length: count }, (_, index): ListOperation => {
    const invokedAt = Math.max(0, index * 2 + draws.between(-4, 1));
    const at = index * 2 + draws.between(1, 4);
    const type = draws.pick(['ok', 'ok', 'ok', 'ok', 'info', 'fail'] as const);
    const happens = type === 'ok' || (type === 'info' && draws.chance(1, 2)) || (lies && draws.chance(1, 8));
    const mine = new Map([...lists].map(([key, list]) => [key, [...list]]));
    const steps = Array.from({ length: draws.between(1, 3) }, (_none, step): ListStep => {
      const key = draws.pick(['x', 'y']);
      const list = mine.get(key) ?? [];
      mine.set(key, list);
      if (draws.chance(1, 2)) {
        const value = index * 3 + step + 1;
        list.push(value);
        return { f: 'append', key, value };
      }
      if (!lies || draws.chance(3, 4)) return { f: 'read', key, list: [...list] };
      const changed = draws.pick([list.slice(0, -1), [...list].reverse(), [...list, draws.below(count * 3) + 1]]);
      return { f: 'read', key, list: changed };
    });
    if (happens) for (const [key, list] of mine) lists.set(key, list);
    return { index, process: `p${index}`, invokedAt, input: undefined, outcome: { type, at, output: steps } };
  });
}

function replay(
  lists: ReadonlyMap<string, readonly number[]>,
  { outcome }: ListOperation,
): ReadonlyMap<string, readonly number[]> | undefined {
  const after = new Map(lists);
  for (const step of outcome.output ?? []) {
    const list = after.get(step.key) ?? [];
    if (step.f === 'append') after.set(step.key, [...list, step.value]);
    else if (outcome.type === 'ok' && list.join() !== step.list.join()) return undefined;
  }
  return after;
}

it('agrees with all orders tried, on 8,000 small histories', () => {
  const found = { legal: 0, illegal: 0, undecided: 0 };
  for (let seed = 0; seed < 8_000; seed++) {
    const history = smallHistory(new Draws(seed, 'test', 'lists'));
    const replays = someOrderReplays(history, new Map() as ReadonlyMap<string, readonly number[]>, replay);
    const { verdict } = checkListAppend(history);
    found[verdict]++;
    if ((verdict === 'legal') !== replays) {
      throw new Error(`history ${seed}: ${verdict}, but replays is ${replays}\n${historyLines(history).join('\n')}`);
    }
  }
  expect(Math.min(found.legal, found.illegal)).toBeGreaterThan(1_500);
});

describe('long histories of true lists', () => {
  const seeds = Array.from({ length: 20 }, (_, seed) => seed);

  it('are legal', () => {
    for (const seed of seeds)
      expect(checkListAppend(playLists({ seed, clients: 8, operations: 500 }))).toEqual({ verdict: 'legal' });
  });

  it.each<[ListDefect, RegExp]>([
    ['stale-snapshot', /^G/],
    ['fractured-read', /^G/],
    ['dropped-append', /^(lost-append|G|incompatible)/],
    ['doubled-append', /^(duplicate-append|internal)/],
    ['swapped-appends', /^(incompatible-order|G)/],
    ['aborted-append', /^G1a/],
  ])('are found out after a planted %s', (defect, expected) => {
    for (const seed of seeds) {
      const verdict = checkListAppend(playLists({ seed, clients: 8, operations: 500, defect }));
      const found = verdict.verdict === 'illegal' ? verdict.anomalies.map(({ name }) => name) : [];
      expect([seed, found.some((name) => expected.test(name))]).toEqual([seed, true]);
    }
  });
});
