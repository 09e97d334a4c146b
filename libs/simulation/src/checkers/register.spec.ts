import { Draws } from '../draw';
import { historyLines } from './history';
import { checkLinearizable } from './linearizability';
import {
  checkRegisters,
  pruned,
  registerModel,
  type RegisterInput,
  type RegisterOperation,
  type RegisterOutput,
} from './register';
import { asAtomic } from './single-key';
import { someOrderReplays } from './testing/brute-force';
import { playRegisters } from './testing/play-registers';
import { registerHistory } from './testing/parse-history';
import { checkWitnessOrder } from './witness-order';

const legal = (text: string): void => expect(checkRegisters(registerHistory(text))).toEqual({ verdict: 'legal' });
const illegal = (text: string): void => expect(checkRegisters(registerHistory(text)).verdict).toBe('illegal');

describe('checkRegisters tells twins apart:', () => {
  it('a read of the old value while a write is under way, and after it', () => {
    legal(`a 0..1 write x 1
           b 2..9 write x 2
           c 3..5 read x 1`);
    illegal(`a 0..1 write x 1
             b 2..4 write x 2
             c 5..6 read x 1`);
  });

  it('two reads during a write, new then old', () => {
    legal(`a 0..9 write x 1
           b 1..2 read x -
           b 3..4 read x 1`);
    illegal(`a 0..9 write x 1
             b 1..2 read x 1
             b 3..4 read x -`);
  });

  it('two readers that see two writes in opposite orders', () => {
    legal(`a 0..9 write x 1
           b 0..9 write x 2
           c 1..2 read x 1
           d 3..4 read x 2`);
    illegal(`a 0..9 write x 1
             b 0..9 write x 2
             c 1..3 read x 1
             c 4..6 read x 2
             d 7..8 read x 1`);
  });

  it('operations that touch, and that do not', () => {
    legal(`a 0..5 write x 1
           b 5..6 read x -`);
    illegal(`a 0..5 write x 1
             b 6..7 read x -`);
  });

  it('a deleted key', () => {
    legal(`a 0..1 write x 1
           a 2..3 delete x
           b 4..5 read x -`);
    illegal(`a 0..1 write x 1
             a 2..3 delete x
             b 4..5 read x 1`);
  });

  it('compare-and-set, done and refused', () => {
    legal(`a 0..1 cas x - 1 yes
           b 2..3 cas x - 2 no
           b 4..5 cas x 1 - yes
           b 6..7 read x -`);
    illegal(`a 0..1 cas x - 1 yes
             b 2..3 cas x - 2 yes`);
    illegal(`a 0..1 write x 1
             b 2..3 cas x 1 2 no`);
  });

  it('two winners of one race', () => {
    legal(`a 0..9 cas x - 1 yes
           b 0..9 cas x - 2 no`);
    illegal(`a 0..9 cas x - 1 yes
             b 0..9 cas x - 2 yes`);
  });

  it('an unknown write that takes effect late, that never does, and that comes and goes', () => {
    legal(`a 0..? write x 1
           b 5..6 read x -
           b 7..8 read x 1`);
    legal(`a 0..? write x 1
           b 5..6 read x -`);
    illegal(`a 0..? write x 1
             b 5..6 read x 1
             b 7..8 read x -`);
    illegal(`b 5..6 read x 1
             a 7..? write x 1`);
  });

  it('a failed write, which must not be seen', () => {
    legal(`a 0..1! write x 1
           b 2..3 read x -`);
    illegal(`a 0..1! write x 1
             b 2..3 read x 1`);
  });

  it('keys, each by itself', () => {
    legal(`a 0..1 write x 1
           b 2..3 read y -`);
    illegal(`a 0..1 write x 1
             b 2..3 read y 1`);
  });

  it('names the operation that nothing explains', () => {
    const verdict = checkRegisters(registerHistory('a 0..1 write x 1\nb 2..3 read x 1\nb 4..5 read x -'));
    const lines = verdict.verdict === 'illegal' ? historyLines(verdict.anomalies[0]?.operations ?? []) : [];
    expect(lines).toEqual(['4..5 b ok {"f":"read","key":"x"} {"output":{}}']);
  });
});

it('says undecided when the budget is spent, which is not a pass', () => {
  const writes = Array.from({ length: 12 }, (_, index) => `w${index} 0..? cas x ${index} ${index + 1} yes`);
  const history = registerHistory([...writes, 'r 5..9 cas x 99 100 no', 'r 10..11 read x -'].join('\n'));
  expect(checkRegisters(history, 5)).toMatchObject({ verdict: 'undecided' });
  expect(checkRegisters(history)).toEqual({ verdict: 'legal' });
});

/** A random small history on one key; half of the answers are made up. */
function smallHistory(draws: Draws): RegisterOperation[] {
  const count = draws.between(2, 6);
  return Array.from({ length: count }, (_, index): RegisterOperation => {
    const invokedAt = draws.below(12);
    const at = invokedAt + draws.below(6);
    const value = (): { readonly value?: string } => (draws.chance(1, 4) ? {} : { value: String(draws.below(count)) });
    const expected = value().value;
    const input = draws.pick<RegisterInput>([
      { f: 'read', key: 'x' },
      { f: 'read', key: 'x' },
      { f: 'write', key: 'x', value: String(index) },
      { f: 'delete', key: 'x' },
      {
        f: 'cas',
        key: 'x',
        ...(expected === undefined ? {} : { expected }),
        ...(draws.chance(1, 8) ? {} : { value: String(index) }),
      },
    ]);
    const output: RegisterOutput =
      input.f === 'read' ? value() : input.f === 'cas' ? { swapped: draws.chance(1, 2) } : {};
    const type = draws.pick(['ok', 'ok', 'ok', 'info', 'fail'] as const);
    const outcome = type === 'ok' ? ({ type, at, output } as const) : ({ type, at } as const);
    return { index, process: `p${index}`, invokedAt, input, outcome };
  });
}

it('agrees with all orders tried, on 6,000 small histories, with and without pruning', () => {
  const found = { legal: 0, illegal: 0 };
  for (let seed = 0; seed < 6_000; seed++) {
    const history = smallHistory(new Draws(seed, 'test', 'register'));
    const replays = someOrderReplays(history, registerModel.initial, (state, { input, outcome }) => {
      return registerModel.step(state, input, outcome.type === 'ok' ? outcome.output : undefined);
    });
    const expected = replays ? 'legal' : 'illegal';
    found[expected]++;
    const verdicts = [checkRegisters(history).verdict, checkLinearizable(history, registerModel).verdict];
    if (verdicts.some((verdict) => verdict !== expected)) {
      throw new Error(`history ${seed} is ${expected}, not ${verdicts.join()}:\n${historyLines(history).join('\n')}`);
    }
  }
  expect(Math.min(found.legal, found.illegal)).toBeGreaterThan(1_000);
});

describe('long histories of a true register', () => {
  const seeds = Array.from({ length: 30 }, (_, seed) => seed);

  it('are legal by search and by witness', () => {
    for (const seed of seeds) {
      const history = playRegisters({ seed, clients: 8, operations: 400, unknownPercent: 5 });
      expect([seed, checkRegisters(history).verdict]).toEqual([seed, 'legal']);
      expect([seed, checkWitnessOrder(asAtomic(history)).verdict]).toEqual([seed, 'legal']);
    }
  });

  it('prune away most of what is unknown', () => {
    const history = playRegisters({ seed: 1, clients: 8, operations: 400, unknownPercent: 20 });
    const unknown = (operations: readonly RegisterOperation[]): number =>
      operations.filter(({ outcome }) => outcome.type === 'info').length;
    expect(unknown(history)).toBeGreaterThan(60);
    expect(unknown(pruned(history.filter(({ input }) => input.key === 'k0')))).toBeLessThan(20);
  });

  it.each(['stale-read', 'lost-write', 'two-winners'] as const)(
    'are found out by search and by witness after a planted %s',
    (defect) => {
      for (const seed of seeds) {
        const history = playRegisters({ seed, clients: 4, operations: 400, unknownPercent: 0, defect });
        expect([seed, checkRegisters(history).verdict]).toEqual([seed, 'illegal']);
        expect([seed, checkWitnessOrder(asAtomic(history)).verdict]).toEqual([seed, 'illegal']);
      }
    },
  );
});
