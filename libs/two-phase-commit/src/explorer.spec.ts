import { explore, type Exploration, type Plan, type Rule } from './explorer';

// The scopes and the rules left out are those of the table in the README. Shortest schedules are part of what is expected here only
// where they teach something: `violations` holds one for each kind, for whoever changes a rule.

const writer = (name: string, reads: string[], writes: string[]): Plan => ({ name, reads, writes, recovered: false });
const recovered = (plan: Plan): Plan => ({ ...plan, recovered: true });

/** Each reads what the other writes, over two shards: the shape of write skew. */
const T1 = writer('t1', ['a'], ['b']);
const T2 = writer('t2', ['b'], ['a']);
const BOTH = writer('w', [], ['a', 'b']);
const READER: Plan = { name: 'reader', reads: ['a', 'b'], writes: [], recovered: false };

const ENOUGH_MS = 120_000;

function without(rule: Rule, ...transactions: Plan[]): Exploration {
  return explore({ transactions, without: new Set([rule]) });
}

describe('every schedule is strictly serializable and leaves nothing behind', () => {
  it.each<[string, number, Plan[]]>([
    ['two transactions in each other’s way, and a reader of both', 20_000, [T1, T2, READER]],
    ['two transactions whose coordinators may be taken for dead at any time', 5_000, [recovered(T1), recovered(T2)]],
    ['a blind write of two shards, recovered, and a reader of both', 200, [recovered(BOTH), READER]],
  ])(
    '%s (at least %i states)',
    (_what, statesMin, transactions) => {
      const found = explore({ transactions });
      expect([...found.violations]).toEqual([]);
      expect(found.states).toBeGreaterThan(statesMin);
    },
    ENOUGH_MS,
  );
});

describe('a rule left out is noticed by what clients see', () => {
  const STALE = 'a read is not the newest at its place';

  it.each<[Rule, string, Plan[]]>([
    ['readers-wait-for-intents', STALE, [BOTH, READER]],
    ['readers-wait-for-latches', STALE, [BOTH, READER]],
    ['timestamps-after-locks', STALE, [BOTH, READER]],
    ['reads-are-validated', STALE, [T1, T2]],
    ['reads-are-locked', STALE, [T1, T2]],
    ['every-vote', 'an acknowledged write is lost', [T1, T2]],
    ['recovery-asks-the-record', 'an acknowledged write is lost', [recovered(T1)]],
  ])('%s: %s', (rule, violation, transactions) => {
    expect([...without(rule, ...transactions).violations.keys()]).toContain(violation);
  });

  it('shows the shortest way there: a reader passes between the timestamp and the latch', () => {
    const schedule = without('timestamps-after-locks', BOTH, READER).violations.get(STALE) ?? [];
    const at = (step: string): number => schedule.indexOf(step);
    expect(at('w takes its timestamp at 0')).toBeLessThan(at('reader reads a'));
    expect(at('reader reads a')).toBeLessThan(at('w latches at 0'));
  });
});
