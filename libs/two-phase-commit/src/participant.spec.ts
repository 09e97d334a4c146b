import { InvariantViolation } from '@synod/invariant';
import { MemoryShard } from './memory-shard';
import type { Work } from './participant';
import type { Decision } from './decision';

const ANCHOR = 0;
const committed = (attempt: number, commitTs: bigint): Decision => ({ state: 'committed', attempt, commitTs });
const aborted = (attempt: number): Decision => ({ state: 'aborted', attempt });
const handle = (id: string) => ({ id, anchor: ANCHOR });

/** `work('t', { reads: { a: 0n }, writes: { b: 'x' } })`: attempt 1 of t, unless said otherwise. */
function work(
  id: string,
  what: { reads?: Record<string, bigint>; writes?: Record<string, string>; attempt?: number; priority?: bigint },
): Work<string> {
  return {
    attempt: { txn: handle(id), attempt: what.attempt ?? 1, priority: what.priority ?? 1n },
    reads: Object.entries(what.reads ?? {}).map(([key, version]) => ({ key, version })),
    writes: Object.entries(what.writes ?? {}).map(([key, value]) => ({ key, value })),
  };
}

describe('prepare', () => {
  it('puts an intent on what is written and a shared lock on what is only read', () => {
    const shard = new MemoryShard(1);
    const t = work('t', { reads: { a: 0n, b: 0n }, writes: { b: 'x', c: 'y' } });
    expect(shard.prepare(t, 10n)).toEqual({ kind: 'prepared', prepTs: 10n });
    expect(shard.intent('b')?.txn.id).toBe('t');
    expect(shard.intent('c')?.prepTs).toBe(10n);
    expect(shard.intent('a')).toBeUndefined();
    expect(shard.sharedLocks('a').map((lock) => lock.txn.id)).toEqual(['t']);
    expect(shard.sharedLocks('b')).toEqual([]);
  });

  it('gives a repeat of the same attempt the first answer', () => {
    const shard = new MemoryShard(1);
    const t = work('t', { writes: { a: 'x' } });
    shard.prepare(t, 10n);
    expect(shard.prepare(t, 50n)).toEqual({ kind: 'prepared', prepTs: 10n });
    expect(shard.intent('a')?.prepTs).toBe(10n);
  });

  it('refuses if a key read has changed since', () => {
    const shard = new MemoryShard(ANCHOR);
    shard.commitOnePhase(work('u', { writes: { a: 'new' } }), 5n);
    expect(shard.prepare(work('t', { reads: { a: 0n }, writes: { b: 'x' } }), 10n)).toEqual({
      kind: 'refused',
      refusal: { kind: 'changed', key: 'a' },
    });
    expect(shard.quiet).toBe(true);
  });

  it('refuses keys that others hold: write against write, write against read, read against write', () => {
    const shard = new MemoryShard(1);
    shard.prepare(work('t', { reads: { a: 0n }, writes: { b: 'x' } }), 10n);
    for (const other of [{ writes: { b: 'y' } }, { writes: { a: 'y' } }, { reads: { b: 0n } }]) {
      expect(shard.prepare(work('u', other), 11n)).toMatchObject({
        kind: 'refused',
        refusal: { kind: 'locked', holder: { txn: handle('t') } },
      });
    }
  });

  it('lets any number of transactions share what they only read', () => {
    const shard = new MemoryShard(1);
    shard.prepare(work('t', { reads: { a: 0n } }), 10n);
    expect(shard.prepare(work('u', { reads: { a: 0n } }), 11n)).toEqual({ kind: 'prepared', prepTs: 11n });
    shard.resolve(handle('t'), aborted(1));
    expect(shard.sharedLocks('a').map((lock) => lock.txn.id)).toEqual(['u']);
  });

  it('refuses what comes after the abort of its attempt, and admits the next attempt', () => {
    const shard = new MemoryShard(1);
    shard.resolve(handle('t'), aborted(1)); // Found nothing: leaves a tombstone.
    expect(shard.prepare(work('t', { writes: { a: 'x' } }), 10n)).toEqual({ kind: 'decided', record: aborted(1) });
    expect(shard.quiet).toBe(true);
    expect(shard.prepare(work('t', { writes: { a: 'x' }, attempt: 2 }), 11n)).toMatchObject({ kind: 'prepared' });
  });

  it('refuses at the anchor what the record has decided, without a tombstone', () => {
    const shard = new MemoryShard(ANCHOR);
    shard.decide(handle('t'), aborted(3));
    expect(shard.prepare(work('t', { writes: { a: 'x' }, attempt: 3 }), 10n)).toMatchObject({ kind: 'decided' });
    expect(shard.prepare(work('t', { writes: { a: 'x' }, attempt: 4 }), 10n)).toMatchObject({ kind: 'prepared' });
  });

  // The earlier attempt may be about to commit: throwing its intents away would lose an acknowledged write.
  it('does not take over the locks of its own earlier attempt while that is in doubt', () => {
    const shard = new MemoryShard(1);
    shard.prepare(work('t', { writes: { a: 'x' } }), 10n);
    expect(shard.prepare(work('t', { writes: { a: 'y' }, attempt: 2 }), 20n)).toMatchObject({
      kind: 'refused',
      refusal: { kind: 'earlier-attempt', earlier: { attempt: 1 } },
    });
    shard.resolve(handle('t'), aborted(1));
    expect(shard.prepare(work('t', { writes: { a: 'y' }, attempt: 2 }), 20n)).toEqual({
      kind: 'prepared',
      prepTs: 20n,
    });
    expect(shard.prepare(work('t', { writes: { a: 'x' } }), 21n)).toMatchObject({ kind: 'refused' });
  });

  it('stops at a timestamp that cannot have been taken after the locks', () => {
    const shard = new MemoryShard(ANCHOR);
    shard.commitOnePhase(work('u', { writes: { a: 'x' } }), 20n);
    expect(() => shard.prepare(work('t', { writes: { a: 'y' } }), 15n)).toThrow(InvariantViolation);
  });
});

describe('one phase', () => {
  it('writes the versions and the record together, and returns the same timestamp to a repeat', () => {
    const shard = new MemoryShard(ANCHOR);
    const t = work('t', { reads: { a: 0n }, writes: { a: 'x' } });
    expect(shard.commitOnePhase(t, 10n)).toEqual({ kind: 'decided', record: committed(1, 10n) });
    expect(shard.commitOnePhase(t, 99n)).toEqual({ kind: 'decided', record: committed(1, 10n) });
    expect(shard.versions('a')).toEqual([{ commitTs: 10n, value: 'x' }]);
    expect(shard.quiet).toBe(true);
  });

  it('is refused once its attempt was aborted by someone who asked for the outcome', () => {
    const shard = new MemoryShard(ANCHOR);
    expect(shard.decide(handle('t'), aborted(1))).toEqual(aborted(1));
    expect(shard.commitOnePhase(work('t', { writes: { a: 'x' } }), 10n)).toEqual({
      kind: 'decided',
      record: aborted(1),
    });
    expect(shard.versions('a')).toEqual([]);
  });

  it('leaves an attempt that prepared here to whoever runs its two phases', () => {
    const shard = new MemoryShard(ANCHOR);
    const t = work('t', { writes: { a: 'x' } });
    shard.prepare(t, 10n);
    expect(shard.commitOnePhase(t, 11n)).toMatchObject({ kind: 'refused' });
    expect(shard.intent('a')?.prepTs).toBe(10n);
  });

  it('respects the locks of others', () => {
    const shard = new MemoryShard(ANCHOR);
    shard.prepare(work('u', { writes: { a: 'x' } }), 10n);
    expect(shard.commitOnePhase(work('t', { writes: { a: 'y' } }), 11n)).toMatchObject({ kind: 'refused' });
  });
});

describe('decide', () => {
  it('resolves the anchor itself in the same entry', () => {
    const shard = new MemoryShard(ANCHOR);
    shard.prepare(work('t', { writes: { a: 'x' } }), 10n);
    expect(shard.decide(handle('t'), committed(1, 12n), [ANCHOR, 1])).toEqual(committed(1, 12n));
    expect(shard.versions('a')).toEqual([{ commitTs: 12n, value: 'x' }]);
    expect(shard.quiet).toBe(true);
  });

  it('refuses a commit for which it did not vote itself', () => {
    const shard = new MemoryShard(ANCHOR);
    expect(() => shard.decide(handle('t'), committed(1, 12n), [ANCHOR, 1])).toThrow('commit-needs-every-vote');
    shard.prepare(work('t', { writes: { a: 'x' } }), 10n);
    expect(() => shard.decide(handle('t'), committed(1, 9n), [ANCHOR, 1])).toThrow('commit-ts-is-max-prep-ts');
  });

  it('keeps records at the anchor only', () => {
    expect(() => new MemoryShard(1).decide(handle('t'), aborted(1))).toThrow('one-record-per-transaction');
  });

  it('leaves a later attempt in doubt when an earlier one is aborted', () => {
    const shard = new MemoryShard(ANCHOR);
    shard.prepare(work('t', { writes: { a: 'x' }, attempt: 2 }), 10n);
    shard.decide(handle('t'), aborted(1));
    expect(shard.intent('a')?.attempt).toBe(2);
  });
});

describe('resolve', () => {
  it('turns intents into versions at the commit timestamp, and releases everything', () => {
    const shard = new MemoryShard(1);
    shard.prepare(work('t', { reads: { r: 0n }, writes: { a: 'x', b: 'y' } }), 10n);
    shard.resolve(handle('t'), committed(1, 30n));
    expect(shard.versions('a')).toEqual([{ commitTs: 30n, value: 'x' }]);
    expect(shard.versions('b')).toEqual([{ commitTs: 30n, value: 'y' }]);
    expect(shard.versions('r')).toEqual([]);
    expect(shard.quiet).toBe(true);
    shard.resolve(handle('t'), committed(1, 30n));
    expect(shard.versions('a')).toHaveLength(1);
  });

  it('drops intents of an attempt other than the one that committed', () => {
    const shard = new MemoryShard(1);
    shard.prepare(work('t', { writes: { a: 'x' } }), 10n);
    shard.resolve(handle('t'), committed(2, 30n));
    expect(shard.versions('a')).toEqual([]);
    expect(shard.quiet).toBe(true);
    // And that is final for any attempt.
    expect(shard.prepare(work('t', { writes: { a: 'x' }, attempt: 3 }), 40n)).toEqual({
      kind: 'decided',
      record: committed(2, 30n),
    });
  });

  // Gray & Lamport, §3: once prepared, it may not abort alone.
  it('stays in doubt, holding its intents, when told of an earlier attempt only', () => {
    const shard = new MemoryShard(1);
    shard.prepare(work('t', { writes: { a: 'x' }, attempt: 2 }), 10n);
    shard.resolve(handle('t'), aborted(1));
    expect(shard.intent('a')?.attempt).toBe(2);
    shard.resolve(handle('t'), committed(2, 30n));
    expect(shard.versions('a')).toEqual([{ commitTs: 30n, value: 'x' }]);
  });

  it('drops what was prepared under an attempt that committed elsewhere with other work', () => {
    const shard = new MemoryShard(1);
    shard.prepare(work('t', { writes: { a: 'x' } }), 10n);
    shard.resolve(handle('t'), committed(1, 9n));
    expect(shard.versions('a')).toEqual([]);
    expect(shard.quiet).toBe(true);
  });

  it('takes the same id at another anchor for another transaction', () => {
    const shard = new MemoryShard(1);
    shard.prepare(work('t', { writes: { a: 'x' } }), 10n);
    const other = work('t', { writes: { a: 'y' } });
    const elsewhere = { ...other, attempt: { ...other.attempt, txn: { id: 't', anchor: 7 } } };
    expect(shard.prepare(elsewhere, 11n)).toMatchObject({ kind: 'refused', refusal: { kind: 'locked' } });
    shard.resolve({ id: 't', anchor: 7 }, aborted(1));
    expect(shard.intent('a')?.prepTs).toBe(10n);
  });

  it('stops when told the opposite of what it did', () => {
    const shard = new MemoryShard(1);
    shard.prepare(work('t', { writes: { a: 'x' } }), 10n);
    shard.resolve(handle('t'), committed(1, 30n));
    expect(() => shard.resolve(handle('t'), aborted(1))).toThrow('decision-never-changes');
    shard.resolve(handle('u'), aborted(2));
    expect(() => shard.resolve(handle('u'), committed(2, 9n))).toThrow('decision-never-changes');
    shard.resolve(handle('u'), committed(3, 9n));
    expect(shard.participation(handle('u'))).toEqual({ phase: 'committed', attempt: 3, commitTs: 9n });
  });
});
