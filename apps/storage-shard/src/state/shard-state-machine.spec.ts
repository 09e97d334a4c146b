import fc from 'fast-check';
import type { Decision, TxnHandle, Work } from '@synod/two-phase-commit';
import { MemoryStore } from '../testing/memory-store';
import { NaiveShard } from '../testing/naive-shard';
import { aborted, committed, handleOf } from '../testing/requests';
import { encodeCommand, type ShardCommand } from './commands';
import type { Value } from './row-codec';
import { ShardRows } from './shard-rows';
import { ShardStateMachine, type LockEvent, type ShardResult } from './shard-state-machine';

/** A replica of one shard, and everything it told about locks. */
class Replica {
  readonly store = new MemoryStore();
  readonly events: LockEvent[] = [];
  readonly rows: ShardRows;
  private readonly machine: ShardStateMachine;

  constructor(shard: number) {
    const prefix = Buffer.of(2, 0, shard);
    this.machine = new ShardStateMachine(shard, prefix, (event) => this.events.push(event));
    this.rows = new ShardRows(this.store, prefix);
  }

  apply(command: ShardCommand): ShardResult {
    const result = this.store.transaction((transaction) => this.machine.apply(transaction, encodeCommand(command)));
    this.machine.committed();
    return result;
  }
}

const work = (
  txn: TxnHandle,
  reads: Record<string, bigint>,
  writes: Record<string, string | undefined>,
  attempt = 1,
): Work<Value> => ({
  attempt: { txn, attempt, priority: 1n },
  reads: Object.entries(reads).map(([key, version]) => ({ key, version })),
  writes: Object.entries(writes).map(([key, value]) => ({
    key,
    value: value === undefined ? undefined : Buffer.from(value),
  })),
});

describe('the state of a shard', () => {
  const t = handleOf('t', 0);

  it('keeps the value under an intent until the decision, then shows it at the commit timestamp', () => {
    const shard = new Replica(1);
    shard.apply({ kind: 'prepare', work: work(t, { r: 0n }, { a: 'x' }), prepTs: 10n });
    expect(shard.rows.readAt(Buffer.from('a'), 99n)).toBeUndefined();
    expect(shard.rows.intent('a')).toEqual({ txn: t, attempt: 1, priority: 1n, prepTs: 10n });
    expect(shard.rows.sharedLocks('r')).toHaveLength(1);
    shard.apply({ kind: 'resolve', txn: t, outcome: committed(12n) });
    expect(shard.rows.readAt(Buffer.from('a'), 11n)).toBeUndefined();
    expect(shard.rows.readAt(Buffer.from('a'), 12n)).toEqual({ value: Buffer.from('x'), version: 12n });
    expect(shard.rows.intent('a')).toBeUndefined();
    expect(shard.rows.sharedLocks('r')).toEqual([]);
  });

  it('tells of locks taken and let go, after the store has them', () => {
    const shard = new Replica(1);
    shard.apply({ kind: 'prepare', work: work(t, { r: 0n }, { a: 'x' }), prepTs: 10n });
    shard.apply({ kind: 'prepare', work: work(t, { r: 0n }, { a: 'x' }), prepTs: 11n });
    shard.apply({ kind: 'resolve', txn: t, outcome: aborted() });
    expect(shard.events).toEqual([
      { kind: 'prepared', lock: expect.objectContaining({ txn: t, prepTs: 10n }) as unknown },
      { kind: 'released', txn: t, keys: ['a', 'r'] },
    ]);
    expect([...shard.rows.allPrepared()]).toEqual([]);
  });

  it('lists what is in doubt after a restart', () => {
    const shard = new Replica(1);
    shard.apply({ kind: 'prepare', work: work(t, {}, { a: 'x' }), prepTs: 10n });
    expect([...shard.rows.allPrepared()].map(({ lock, exclusive }) => [lock.txn.id, exclusive])).toEqual([
      [t.id, ['a']],
    ]);
  });

  it('deletes by a version without a value, and remembers who voted', () => {
    const shard = new Replica(0);
    shard.apply({ kind: 'commit-one-phase', work: work(t, {}, { a: 'x' }), commitTs: 5n });
    const u = handleOf('u', 0);
    shard.apply({ kind: 'prepare', work: work(u, { a: 5n }, { a: undefined }), prepTs: 7n });
    shard.apply({ kind: 'decide', txn: u, proposal: committed(8n), participants: [0, 3] });
    expect(shard.rows.readAt(Buffer.from('a'), 8n)).toEqual({ value: undefined, version: 8n });
    expect(shard.rows.storedDecision(u)).toEqual({ record: committed(8n), participants: [0, 3] });
    expect(shard.rows.storedDecision(t)).toEqual({ record: committed(5n), participants: [0] });
    expect(
      shard.rows.page(Buffer.alloc(0), Buffer.from('z'), 7n, 9).entries.map(({ value }) => value.toString()),
    ).toEqual(['x']);
    expect(shard.rows.page(Buffer.alloc(0), Buffer.from('z'), 8n, 9).entries).toEqual([]);
  });

  it('keeps shards apart in one store', () => {
    const store = new MemoryStore();
    const key = Buffer.from('a');
    for (const shard of [1, 2]) {
      const machine = new ShardStateMachine(shard, Buffer.of(2, 0, shard), () => undefined);
      const command = {
        kind: 'commit-one-phase',
        work: work(handleOf('t', shard), {}, { a: `of ${shard}` }),
        commitTs: 5n,
      } as const;
      store.transaction((transaction) => machine.apply(transaction, encodeCommand(command)));
    }
    expect(new ShardRows(store, Buffer.of(2, 0, 1)).readAt(key, 9n)?.value?.toString()).toBe('of 1');
    expect(new ShardRows(store, Buffer.of(2, 0, 2)).readAt(key, 9n)?.value?.toString()).toBe('of 2');
    const page = new ShardRows(store, Buffer.of(2, 0, 1)).page(Buffer.alloc(0), undefined, 9n, 9);
    expect(page.entries).toHaveLength(1);
  });
});

/** One step of a random schedule; numbers pick among what is possible at that moment. */
interface Step {
  readonly action: 'prepare' | 'one-phase' | 'commit' | 'abort' | 'resolve';
  readonly txn: number;
  readonly shard: number;
  readonly stale: boolean;
}

const KEYS = ['a', 'ab', 'b', 'b\0', '\xff'];
const SHARDS = 2;
const steps = fc.array(
  fc.record<Step>({
    action: fc.constantFrom(
      'prepare',
      'prepare',
      'prepare',
      'one-phase',
      'commit',
      'commit',
      'abort',
      'resolve',
      'resolve',
    ),
    txn: fc.nat({ max: 4 }),
    shard: fc.nat({ max: SHARDS - 1 }),
    stale: fc.boolean(),
  }),
  { minLength: 1, maxLength: 60 },
);
const plans = fc.array(
  fc.record({
    reads: fc.uniqueArray(fc.constantFrom(...KEYS), { maxLength: 3 }),
    writes: fc.uniqueArray(fc.constantFrom(...KEYS), { minLength: 1, maxLength: 3 }),
  }),
  { minLength: 5, maxLength: 5 },
);

/** Five transactions over two shards, their coordinators and recoverers, all in one hand that follows the protocol. */
class Schedule {
  readonly replicas = [new Replica(0), new Replica(1)];
  readonly twins = [new NaiveShard(0), new NaiveShard(1)];
  private now = 0n;
  /** By transaction: the attempt that runs, and its yes votes. */
  private readonly running = Array.from({ length: 5 }, () => ({ attempt: 1, votes: new Map<number, bigint>() }));

  constructor(private readonly plan: readonly { reads: readonly string[]; writes: readonly string[] }[]) {}

  take({ action, txn, shard, stale }: Step): void {
    const state = this.running[txn] as (typeof this.running)[number];
    const handle = handleOf(`t${txn}`, txn % SHARDS);
    const [home, homeTwin] = this.at(handle.anchor);
    // An attempt runs in one phase or in two: it is one set of keys.
    const onePhase = (txn + state.attempt) % 3 === 0;
    if (onePhase !== (action === 'one-phase') && (action === 'prepare' || action === 'one-phase')) return;
    switch (action) {
      case 'prepare': {
        const prepTs = ++this.now;
        const [replica, twin] = this.at(shard);
        // A stale prepare is one of an earlier attempt that was long on its way.
        const attempt = stale && state.attempt > 2 ? state.attempt - 2 : state.attempt;
        const request = this.work(txn, shard, attempt);
        const result = replica.apply({ kind: 'prepare', work: request, prepTs });
        expect(textOf(result)).toBe(twin.prepare(request, prepTs));
        if (result.kind === 'prepared' && attempt === state.attempt) state.votes.set(shard, result.prepTs);
        return;
      }
      case 'one-phase': {
        const commitTs = ++this.now;
        const request = this.work(txn, handle.anchor, state.attempt);
        const result = home.apply({ kind: 'commit-one-phase', work: request, commitTs });
        expect(textOf(result)).toBe(homeTwin.onePhase(request, commitTs));
        return;
      }
      case 'commit': {
        if (state.votes.size < SHARDS) return;
        const commitTs = [...state.votes.values()].reduce((a, b) => (a > b ? a : b));
        this.decide(handle, committed(commitTs, state.attempt));
        return;
      }
      case 'abort': {
        const record = this.decide(handle, aborted(state.attempt));
        if (record.state === 'aborted') Object.assign(state, { attempt: state.attempt + 1, votes: new Map() });
        return;
      }
      case 'resolve': {
        const record = home.rows.decision(handle);
        if (record.state === 'none') return;
        const [replica, twin] = this.at(shard);
        replica.apply({ kind: 'resolve', txn: handle, outcome: record });
        twin.resolve(handle, record);
      }
    }
  }

  /** Tells every shard every decision, and aborts what is undecided. */
  finish(): void {
    for (const txn of this.plan.keys()) {
      const handle = handleOf(`t${txn}`, txn % SHARDS);
      const outcome = this.decide(handle, aborted(99));
      this.replicas.forEach((replica) => replica.apply({ kind: 'resolve', txn: handle, outcome }));
      this.twins.forEach((twin) => twin.resolve(handle, outcome));
    }
  }

  compare(): void {
    this.replicas.forEach((replica, shard) => {
      const twin = this.twins[shard] as NaiveShard;
      for (const key of KEYS) {
        for (let ts = 0n; ts <= this.now; ts++) {
          const found = replica.rows.readAt(Buffer.from(key, 'latin1'), ts);
          expect({ value: found?.value, version: found?.version ?? 0n }).toEqual(twin.readAt(key, ts));
        }
        expect(replica.rows.intent(key)?.prepTs).toBe(twin.intentOn(key));
      }
      const live = KEYS.filter((key) => twin.readAt(key, this.now).value !== undefined).sort();
      const scanned = replica.rows.page(Buffer.alloc(0), undefined, this.now, 99).entries;
      expect(scanned.map(({ key }) => key.toString('latin1'))).toEqual(live);
    });
  }

  private decide(handle: TxnHandle, proposal: Decision): Decision {
    const [replica, twin] = this.at(handle.anchor);
    const participants = proposal.state === 'committed' ? [0, 1] : [];
    const result = replica.apply({ kind: 'decide', txn: handle, proposal, participants });
    const record = twin.decide(handle, proposal);
    expect(result).toEqual({ kind: 'record', record });
    return record;
  }

  private at(shard: number): [Replica, NaiveShard] {
    return [this.replicas[shard] as Replica, this.twins[shard] as NaiveShard];
  }

  private work(txn: number, shard: number, attempt: number): Work<Value> {
    const { reads, writes } = this.plan[txn] as (typeof this.plan)[number];
    const twin = this.twins[shard] as NaiveShard;
    return {
      attempt: { txn: handleOf(`t${txn}`, txn % SHARDS), attempt, priority: BigInt(txn) },
      reads: reads.map((key) => ({ key, version: twin.readAt(key, this.now).version })),
      writes: writes.map((key, n) => ({ key, value: n === 1 ? undefined : Buffer.from(`${txn}.${attempt}`) })),
    };
  }
}

function textOf(result: ShardResult): string {
  return result.kind === 'prepared' ? `prepared ${result.prepTs}` : result.kind;
}

it('answers and changes as its naive twin does, under random schedules with late and repeated messages', () => {
  fc.assert(
    fc.property(plans, steps, (plan, schedule) => {
      const run = new Schedule(plan);
      for (const step of schedule) run.take(step);
      run.compare();
      run.finish();
      run.compare();
      expect(run.twins.every((twin) => twin.quiet)).toBe(true);
      for (const replica of run.replicas) {
        expect([...replica.rows.allPrepared()]).toEqual([]);
        expect([...replica.rows.intentsIn(Buffer.alloc(0), undefined)]).toEqual([]);
      }
    }),
    { numRuns: 150 },
  );
});
