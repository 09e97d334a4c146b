import { SynodError } from '@synod/runtime';
import fc from 'fast-check';
import { PREFIX, StateBench, compare, get, put, remove, txn, under } from '../testing/state-bench';
import { NOBODY } from './auth/authority';
import { encodeCommand } from './command-codec';
import { deleteRangeRequest, putRequest, type Command } from './requests';
import type { ApplyResult } from './results';
import { EtcdStateMachine } from './state-machine';
import { MemoryStore } from '../testing/memory-store';
import { RESERVED_PREFIX } from '@synod/coordination';

describe('revisions', () => {
  it('begin at 2 and grow by one with every command that changes something', () => {
    const bench = new StateBench();
    expect(bench.put('a', '1')).toMatchObject({ kind: 'put', revision: 2n });
    expect(bench.put('a', '2')).toMatchObject({ revision: 3n });
    expect(bench.remove('missing')).toMatchObject({ kind: 'delete-range', revision: 3n, deleted: 0n });
    expect(bench.apply(txn([], [put('b', '1'), put('c', '1')]))).toMatchObject({ revision: 4n });
    expect(bench.apply(txn([], [get('b')]))).toMatchObject({ revision: 4n });
    expect(bench.remove('a')).toMatchObject({ revision: 5n, deleted: 1n });
  });

  it('reach watchers once each, in order, with all changes of a command together', () => {
    const bench = new StateBench();
    bench.put('a', '1');
    bench.apply(txn([], [put('b', '1'), remove('a'), put('c', '1')]));
    bench.remove('missing');
    expect(
      bench.changes.map(({ revision, events }) => [
        revision,
        events.map(({ type, entry }) => `${type} ${entry.key.toString()}`),
      ]),
    ).toEqual([
      [2n, ['put a']],
      [3n, ['put b', 'delete a', 'put c']],
    ]);
  });
});

describe('a put', () => {
  it('returns what it replaced, if asked', () => {
    const bench = new StateBench();
    expect(bench.put('a', '1', { previous: true })).toMatchObject({ previous: undefined });
    expect(bench.put('a', '2', { previous: true })).toMatchObject({ previous: { value: Buffer.from('1') } });
    expect(bench.put('a', '3')).toMatchObject({ previous: undefined });
  });

  it('can keep the value or the lease of a key that exists', () => {
    const bench = new StateBench();
    bench.apply({ kind: 'lease-grant', id: 7n, ttlSeconds: 60n });
    expect(bench.put('a', '', { ignoreValue: true })).toMatchObject({ kind: 'refused', error: 'key-not-found' });
    bench.put('a', '1', { lease: 7n });
    bench.put('a', '2', { ignoreLease: true });
    expect(bench.range(get('a'))).toMatchObject({ entries: [{ value: Buffer.from('2'), lease: 7n }] });
    bench.put('a', '', { ignoreValue: true });
    expect(bench.range(get('a'))).toMatchObject({ entries: [{ value: Buffer.from('2'), lease: 0n }] });
  });
});

describe('a deletion', () => {
  it('takes a whole range in one revision and starts the key anew afterwards', () => {
    const bench = new StateBench();
    bench.put('a/1', '1');
    bench.put('a/2', '2');
    bench.put('b', '3');
    const whole = deleteRangeRequest(Buffer.from('a/'), Buffer.from('a0'), { previous: true });
    expect(bench.apply(whole)).toMatchObject({
      revision: 5n,
      deleted: 2n,
      previous: [{ version: 1n }, { version: 1n }],
    });
    expect(bench.list('')).toEqual(['b=3']);
    bench.put('a/1', 'again');
    expect(bench.range(get('a/1'))).toMatchObject({ entries: [{ createRevision: 6n, version: 1n }] });
  });

  it('of everything by a client leaves the reserved prefix alone', () => {
    const bench = new StateBench();
    const reserved = Buffer.concat([RESERVED_PREFIX, Buffer.from('oracle')]);
    bench.apply(putRequest(reserved, Buffer.from('bound')));
    bench.put('\0a', 'before it');
    bench.put('z', 'after it');
    const everything = Buffer.from([0]);
    bench.apply(deleteRangeRequest(everything, everything, { spareReserved: true }));
    expect(bench.list('')).toEqual(['\0synod/oracle=bound']);
    bench.apply(deleteRangeRequest(everything, everything));
    expect(bench.list('')).toEqual([]);
  });
});

describe('a transaction', () => {
  it('takes the first path if every comparison holds, else the second', () => {
    const bench = new StateBench();
    const create = txn([compare('a', 'create', 'equal', 0n)], [put('a', '1')], [get('a')]);
    expect(bench.apply(create)).toMatchObject({ succeeded: true, responses: [{ kind: 'put', revision: 2n }] });
    expect(bench.apply(create)).toMatchObject({
      succeeded: false,
      responses: [{ kind: 'range', entries: [{ value: Buffer.from('1') }] }],
    });
  });

  it.each([
    [compare('a', 'version', 'equal', 2n), true],
    [compare('a', 'version', 'greater', 1n), true],
    [compare('a', 'version', 'less', 2n), false],
    [compare('a', 'mod', 'not-equal', 3n), false],
    [compare('a', 'create', 'equal', 2n), true],
    [compare('a', 'value', 'equal', 'two'), true],
    [compare('a', 'value', 'less', 'zzz'), true],
    [compare('a', 'lease', 'equal', 0n), true],
    // A missing key compares as zeros, but has no value at all.
    [compare('missing', 'version', 'equal', 0n), true],
    [compare('missing', 'value', 'equal', ''), false],
    [compare('missing', 'value', 'not-equal', 'x'), false],
    // A span holds if each of its keys does.
    [compare('a', 'version', 'greater', 0n, 'c'), true],
    [compare('a', 'version', 'greater', 1n, 'c'), false],
    [compare('x', 'version', 'equal', 0n, 'z'), true],
  ])('compares %j as %s', (comparison, holds) => {
    const bench = new StateBench();
    bench.put('a', 'one');
    bench.put('a', 'two');
    bench.put('b', 'one');
    expect(bench.apply(txn([comparison], []))).toMatchObject({ succeeded: holds });
  });

  it('shows each operation what those before it did, under one revision', () => {
    const bench = new StateBench();
    bench.put('a', '0');
    const result = bench.apply(txn([], [get('a'), put('b', '1'), under(''), remove('a'), under('')]));
    expect(result).toMatchObject({
      revision: 3n,
      responses: [
        { kind: 'range', revision: 2n, count: 1n },
        { kind: 'put', revision: 3n },
        { kind: 'range', revision: 3n, count: 2n },
        { kind: 'delete-range', revision: 3n, deleted: 1n },
        { kind: 'range', revision: 3n, count: 1n },
      ],
    });
  });

  it('nests, each level choosing its path by the state before the transaction', () => {
    const bench = new StateBench();
    const inner = txn([compare('a', 'version', 'equal', 0n)], [put('b', 'absent')], [put('b', 'present')]);
    const result = bench.apply(txn([], [put('a', '1'), inner, get('b')]));
    expect(result).toMatchObject({ responses: [{ kind: 'put' }, { kind: 'txn', succeeded: true }, { kind: 'range' }] });
    expect(bench.list('')).toEqual(['a=1', 'b=absent']);
  });

  it('does nothing at all if one of its operations cannot be done', () => {
    const bench = new StateBench();
    bench.put('a', '0');
    const refused = (operation: Parameters<typeof txn>[1][number]): unknown =>
      bench.apply(txn([], [put('b', '1'), txn([], [operation])]));
    expect(refused(get('a', { revision: 9n }))).toMatchObject({ kind: 'refused', error: 'future-revision' });
    expect(refused(put('c', '', { ignoreValue: true }))).toMatchObject({ kind: 'refused', error: 'key-not-found' });
    expect(refused(put('c', '1', { lease: 5n }))).toMatchObject({ kind: 'refused', error: 'lease-not-found' });
    expect(bench.list('')).toEqual(['a=0']);
    expect(bench.changes).toHaveLength(1);
  });
});

// etcd#18667: a transaction that reads at a compacted revision was done in part, and not by every replica alike.
it('does nothing at all of a transaction that reads what is compacted', () => {
  const bench = new StateBench();
  for (const value of ['1', '2', '3']) bench.put('a', value);
  bench.apply({ kind: 'compact', revision: 4n });
  const dump = JSON.stringify([...bench.store.range({ start: PREFIX, end: Buffer.from([2]) })]);
  const reading = get('a', { revision: 2n });
  for (const request of [txn([], [put('b', '1'), reading]), txn([], [txn([], [reading]), put('b', '1')])]) {
    expect(bench.apply(request)).toEqual({ kind: 'refused', revision: 4n, error: 'compacted' });
  }
  expect(JSON.stringify([...bench.store.range({ start: PREFIX, end: Buffer.from([2]) })])).toBe(dump);
  // The path that is not taken reads nothing.
  const other = txn([compare('a', 'version', 'equal', 3n)], [put('b', '1')], [reading]);
  expect(bench.apply(other)).toMatchObject({ kind: 'txn', revision: 5n });
});

describe('a lease', () => {
  it('is granted once, for at least two seconds and at most nine thousand million', () => {
    const bench = new StateBench();
    const grant = (id: bigint, ttlSeconds: bigint): unknown => bench.apply({ kind: 'lease-grant', id, ttlSeconds });
    expect(grant(1n, 60n)).toEqual({ kind: 'lease-granted', revision: 1n, id: 1n, ttlSeconds: 60n });
    expect(grant(1n, 60n)).toMatchObject({ kind: 'refused', error: 'lease-exists' });
    expect(grant(2n, 0n)).toMatchObject({ ttlSeconds: 2n });
    expect(grant(3n, 9_000_000_001n)).toMatchObject({ kind: 'refused', error: 'lease-ttl-too-large' });
    expect([...bench.machine.keySpace.leases(bench.store)]).toEqual([
      { id: 1n, ttlSeconds: 60n, remainingSeconds: 60n },
      { id: 2n, ttlSeconds: 2n, remainingSeconds: 2n },
    ]);
  });

  it('takes its keys along, in key order and in one revision', () => {
    const bench = new StateBench();
    bench.apply({ kind: 'lease-grant', id: 1n, ttlSeconds: 60n });
    bench.put('b', '1', { lease: 1n });
    bench.put('a', '1', { lease: 1n });
    bench.put('c', '1');
    expect(bench.apply({ kind: 'lease-revoke', id: 1n })).toEqual({ kind: 'lease-revoked', revision: 5n });
    expect(bench.list('')).toEqual(['c=1']);
    expect(bench.changes.at(-1)?.events.map(({ entry }) => entry.key.toString())).toEqual(['a', 'b']);
    expect(bench.apply({ kind: 'lease-revoke', id: 1n })).toMatchObject({ error: 'lease-not-found' });
    expect(bench.put('d', '1', { lease: 1n })).toMatchObject({ error: 'lease-not-found' });
    expect(bench.leases).toEqual([
      { kind: 'granted', id: 1n, ttlSeconds: 60n },
      { kind: 'revoked', id: 1n },
    ]);
  });

  it('lets go of a key that is put with another lease, or deleted', () => {
    const bench = new StateBench();
    for (const id of [1n, -2n]) bench.apply({ kind: 'lease-grant', id, ttlSeconds: 60n });
    bench.put('a', '1', { lease: 1n });
    bench.put('b', '1', { lease: 1n });
    bench.put('a', '2', { lease: -2n });
    bench.remove('b');
    const keysOf = (id: bigint): string[] => bench.machine.keySpace.attachedKeys(bench.store, id).map(String);
    expect(keysOf(1n)).toEqual([]);
    expect(keysOf(-2n)).toEqual(['a']);
    bench.apply({ kind: 'lease-revoke', id: 1n });
    expect(bench.list('')).toEqual(['a=2']);
  });
});

describe('a command of a later release', () => {
  it('stops the replica instead of making it differ from the others', () => {
    const bench = new StateBench();
    const apply = (bytes: Buffer): unknown =>
      bench.store.transaction((transaction) => bench.machine.apply(transaction, bytes, { instance: 1, index: 0 }));
    expect(() => apply(Buffer.from([200]))).toThrow(SynodError);
    expect(() => apply(Buffer.from([200]))).toThrow('command of kind 200');
    expect(() => apply(Buffer.from([4, 0, 0]))).toThrow('malformed');
  });
});

it('keeps to its own prefix of the store', () => {
  const bench = new StateBench();
  bench.apply({ kind: 'lease-grant', id: 1n, ttlSeconds: 60n });
  bench.put('a', '1', { lease: 1n });
  const outside = [...bench.store.range({ start: Buffer.from([0]), end: Buffer.alloc(9, 0xff) })].filter(
    ({ key }) => key[0] !== PREFIX[0],
  );
  expect(outside).toEqual([]);
});

/** A replica that knows nothing but its store: it is started anew before every command. */
class ForgetfulReplica {
  readonly store = new MemoryStore();
  private instance = 0;

  apply(command: Command): ApplyResult {
    const machine = new EtcdStateMachine(PREFIX, () => undefined);
    const position = { instance: ++this.instance, index: 0 };
    const bytes = encodeCommand(command, NOBODY);
    return this.store.transaction((transaction) => {
      const result = machine.apply(transaction, bytes, position);
      machine.finish(transaction);
      return result;
    });
  }
}

/** A replica that was behind: it applies everything in one transaction. */
function applyAtOnce(commands: readonly Command[]): {
  readonly results: ApplyResult[];
  readonly store: MemoryStore;
  readonly hashes: bigint[];
} {
  const store = new MemoryStore();
  const hashes: bigint[] = [];
  const machine = new EtcdStateMachine(PREFIX, ({ checks }) => hashes.push(...checks.map(({ hash }) => hash)));
  const results = store.transaction((transaction) => {
    const own = commands.map((command, index) =>
      machine.apply(transaction, encodeCommand(command, NOBODY), { instance: 1, index }),
    );
    machine.finish(transaction);
    return own;
  });
  machine.committed(store);
  return { results, store, hashes };
}

// etcd#17780: the revision was read off the newest version, so that it went back when that was compacted before a crash.
it('keeps its revision when all that it counted is compacted away', () => {
  const replica = new ForgetfulReplica();
  replica.apply(put('a', '1'));
  replica.apply(remove('a'));
  replica.apply({ kind: 'compact', revision: 3n });
  replica.apply({ kind: 'compact-step', events: 100 });
  replica.apply({ kind: 'compact-step', events: 100 });
  expect(replica.apply(put('b', '1'))).toMatchObject({ revision: 4n });
});

const KEY = fc.constantFrom('a', 'b', 'c');
const REVISION = fc.bigInt(0n, 12n);
const LEASE = fc.bigInt(1n, 2n);
const OPERATION = fc.oneof(
  fc.record({ key: KEY, lease: fc.bigInt(0n, 2n) }).map(({ key, lease }) => put(key, 'x', { lease })),
  KEY.map((key) => remove(key)),
  fc.record({ key: KEY, revision: REVISION }).map(({ key, revision }) => get(key, { revision })),
);
const COMMAND: fc.Arbitrary<Command> = fc.oneof(
  { weight: 4, arbitrary: KEY.map((key) => put(key, 'y')) },
  { weight: 2, arbitrary: KEY.map((key) => remove(key)) },
  {
    weight: 5,
    arbitrary: fc
      .record({ key: KEY, version: fc.bigInt(0n, 2n), steps: fc.array(OPERATION, { maxLength: 3 }) })
      .map(({ key, version, steps }) => txn([compare(key, 'version', 'equal', version)], steps, [txn([], steps)])),
  },
  { weight: 2, arbitrary: REVISION.map((revision) => ({ kind: 'compact' as const, revision })) },
  { weight: 2, arbitrary: fc.constant({ kind: 'compact-step' as const, events: 2 }) },
  { weight: 1, arbitrary: LEASE.map((id) => ({ kind: 'lease-grant' as const, id, ttlSeconds: 60n })) },
  { weight: 1, arbitrary: LEASE.map((id) => ({ kind: 'lease-revoke' as const, id })) },
);

// etcd#21432: a read at a revision inside a transaction was answered by what a replica had in memory.
it('answers and becomes the same on a replica that starts anew before every command, and on one that applies them at once', () => {
  fc.assert(
    fc.property(fc.array(COMMAND, { maxLength: 40 }), (commands) => {
      const lasting = new StateBench();
      const forgetful = new ForgetfulReplica();
      const results = commands.map((command) => lasting.apply(command));
      expect(commands.map((command) => forgetful.apply(command))).toEqual(results);
      const late = applyAtOnce(commands);
      expect(late.results).toEqual(results);
      const whole = { start: Buffer.from([0]), end: Buffer.from([0xff]) };
      expect([...forgetful.store.range(whole)]).toEqual([...lasting.store.range(whole)]);
      expect([...late.store.range(whole)]).toEqual([...lasting.store.range(whole)]);
    }),
    { numRuns: 50 },
  );
});

it('hashes the same whatever shares a transaction with the check', () => {
  const commands: Command[] = [
    put('a', '1'),
    { kind: 'check-state', start: Buffer.alloc(0), entries: 100 },
    put('b', '2'),
  ];
  const apart = new StateBench();
  for (const command of commands) apart.apply(command);
  expect(applyAtOnce(commands).hashes).toEqual(apart.checks.map(({ hash }) => hash));
});

it('does not let a transaction end without the counters of what it did', () => {
  const store = new MemoryStore();
  const machine = new EtcdStateMachine(PREFIX);
  const bytes = encodeCommand(put('a', '1'), NOBODY);
  store.transaction((transaction) => machine.apply(transaction, bytes, { instance: 1, index: 0 }));
  expect(() => machine.keySpace.meta(store)).toThrow('counters-are-written');
});
