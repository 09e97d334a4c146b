import {
  checkBank,
  checkCounter,
  checkGrowingSet,
  type BankOperation,
  type CounterOperation,
  type SetOperation,
} from './folds';
import { History } from './history';
import type { Operation, Outcome } from './history';
import type { Verdict } from './verdict';

const names = (verdict: Verdict): string[] =>
  verdict.verdict === 'illegal' ? verdict.anomalies.map(({ name }) => name) : [verdict.verdict];

/** Operations from `[from, to, input, output]`; `to` undefined for an unknown end, negative for a failure. */
function operations<I, O>(...rows: readonly (readonly [number, number | undefined, I, O])[]): Operation<I, O>[] {
  return rows.map(([invokedAt, to, input, output], index) => {
    const at = Math.abs(to ?? 99);
    const outcome: Outcome<O> =
      to === undefined ? { type: 'info', at } : to < 0 ? { type: 'fail', at } : { type: 'ok', at, output };
    return { index, process: `p${index}`, invokedAt, input, outcome };
  });
}

const read = { f: 'read' } as const;

describe('checkBank tells twins apart:', () => {
  const reads = (...balances: readonly [string, number][]): BankOperation[] =>
    operations([0, 1, read, { balances: new Map(balances) }]);

  it('money moved, made, and owed', () => {
    expect(names(checkBank(reads(['a', 3], ['b', 7]), 10))).toEqual(['legal']);
    expect(names(checkBank(reads(['a', 3], ['b', 8]), 10))).toEqual(['bank-total']);
    expect(names(checkBank(reads(['a', -1], ['b', 11]), 10))).toEqual(['bank-negative']);
  });
});

describe('checkGrowingSet tells twins apart:', () => {
  const add = (element: string) => ({ f: 'add', element }) as const;
  const set = (
    ...rows: readonly (readonly [number, number | undefined, SetOperation['input'], readonly string[]])[]
  ): string[] => {
    return names(
      checkGrowingSet(
        operations(...rows.map(([from, to, input, elements]) => [from, to, input, { elements }] as const)),
      ),
    );
  };

  it('acknowledged elements, seen and lost', () => {
    expect(set([0, 1, add('e'), []], [2, 3, read, ['e']])).toEqual(['legal']);
    expect(set([0, 5, add('e'), []], [2, 3, read, []])).toEqual(['legal']);
    expect(set([0, 1, add('e'), []], [2, 3, read, []])).toEqual(['set-lost']);
  });

  it('unknown elements, absent, seen, and seen then gone', () => {
    expect(set([0, undefined, add('e'), []], [2, 3, read, []], [4, 5, read, ['e']])).toEqual(['legal']);
    expect(set([0, undefined, add('e'), []], [2, 3, read, ['e']], [4, 5, read, []])).toEqual(['set-vanished']);
  });

  it('elements refused, never added, or not added yet', () => {
    expect(set([0, -1, add('e'), []], [2, 3, read, []])).toEqual(['legal']);
    expect(set([0, -1, add('e'), []], [2, 3, read, ['e']])).toEqual(['set-phantom']);
    expect(set([2, 3, read, ['e']])).toEqual(['set-phantom']);
    expect(set([2, 3, read, ['e']], [4, 5, add('e'), []])).toEqual(['set-phantom']);
  });
});

describe('checkCounter tells twins apart:', () => {
  const add = { f: 'add', by: 1 } as const;
  const count = (
    ...rows: readonly (readonly [number, number | undefined, CounterOperation['input'], number])[]
  ): string[] => {
    return names(
      checkCounter(operations(...rows.map(([from, to, input, value]) => [from, to, input, { value }] as const))),
    );
  };

  it('additions once, never, and twice', () => {
    expect(count([0, 1, add, 0], [0, 1, add, 0], [2, 3, read, 2])).toEqual(['legal']);
    expect(count([0, 1, add, 0], [0, 1, add, 0], [2, 3, read, 1])).toEqual(['counter-lost']);
    expect(count([0, 1, add, 0], [0, 1, add, 0], [2, 3, read, 3])).toEqual(['counter-doubled']);
  });

  it('additions that may count, and that may not', () => {
    for (const value of [1, 2])
      expect(count([0, 1, add, 0], [0, undefined, add, 0], [2, 3, read, value])).toEqual(['legal']);
    expect(count([0, 1, add, 0], [0, undefined, add, 0], [2, 3, read, 3])).toEqual(['counter-doubled']);
    expect(count([0, 1, add, 0], [0, -1, add, 0], [2, 3, read, 2])).toEqual(['counter-doubled']);
    expect(count([0, 9, add, 0], [2, 3, read, 0])).toEqual(['legal']);
  });
});

describe('a History', () => {
  it('keeps calls and returns in order, and what never returned as unknown', () => {
    let now = 0;
    const history = new History<string, number>(() => now);
    const first = history.invoke('a', 'one');
    now = 5;
    const second = history.invoke('b', 'two');
    second.ok(2, 7n);
    now = 6;
    history.invoke('b', 'three').fail();
    history.invoke('c', 'four').info(4);
    now = 9;
    expect(history.operations()).toEqual([
      { index: 0, process: 'a', invokedAt: 0, input: 'one', outcome: { type: 'info', at: 9 } },
      { index: 1, process: 'b', invokedAt: 5, input: 'two', outcome: { type: 'ok', at: 5, output: 2, position: 7n } },
      { index: 2, process: 'b', invokedAt: 6, input: 'three', outcome: { type: 'fail', at: 6 } },
      { index: 3, process: 'c', invokedAt: 6, input: 'four', outcome: { type: 'info', at: 6, output: 4 } },
    ]);
    first.ok(1);
    expect(() => first.ok(1)).toThrow('twice');
  });

  it('refuses a process that does two things at once, or goes on after an unknown end', () => {
    const history = new History<string, number>(() => 0);
    const pending = history.invoke('a', 'one');
    expect(() => history.invoke('a', 'two')).toThrow('under way');
    pending.info();
    expect(() => history.invoke('a', 'three')).toThrow('ended unknown');
  });
});
