import type { StorageResponse } from '@synod/protocols';
import { SynodError } from '@synod/runtime';
import {
  aborted,
  committed,
  decideOf,
  handleOf,
  onePhaseOf,
  prepareOf,
  readOf,
  resolveOf,
  scanOf,
} from '../testing/requests';
import { ShardBench } from '../testing/shard-bench';

const SECOND_US = 1_000_000;

/** A read's values as text. */
function texts(response: StorageResponse): (string | undefined)[] {
  if (response.kind !== 'read') throw new Error(response.kind);
  return response.values.map(({ value }) => value?.toString());
}

/** Whether a promise has settled by now. */
function watch<T>(promise: Promise<T>): { done: boolean; value: T | undefined; error: unknown } {
  const seen: { done: boolean; value: T | undefined; error: unknown } = {
    done: false,
    value: undefined,
    error: undefined,
  };
  promise.then(
    (value) => Object.assign(seen, { done: true, value }),
    (error: unknown) => Object.assign(seen, { done: true, error }),
  );
  return seen;
}

describe('one phase', () => {
  it('writes at a timestamp that later reads see and earlier reads do not', async () => {
    const bench = new ShardBench(1);
    const before = bench.now();
    const answer = await bench.ask(onePhaseOf(0, { txn: 't', writes: { '0/a': 'x' } }));
    expect(answer).toMatchObject({ kind: 'record', record: { state: 'committed', attempt: 1 } });
    expect(texts(await bench.ask(readOf(0, ['0/a'], before)))).toEqual([undefined]);
    expect(texts(await bench.ask(readOf(0, ['0/a', '0/b'], bench.now())))).toEqual(['x', undefined]);
  });

  it('returns the same commit timestamp to a repeat, at the next leader too', async () => {
    const bench = new ShardBench(1);
    const request = onePhaseOf(0, { txn: 't', writes: { '0/a': 'x' } });
    const first = await bench.ask(request);
    expect(await bench.ask(request)).toEqual(first);
    bench.group(0).depose();
    bench.group(0).appoint('s2');
    expect(await bench.ask(request)).toEqual(first);
  });

  it('is found by a repeat though the first answer was lost with the leader', async () => {
    const bench = new ShardBench(1);
    const request = onePhaseOf(0, { txn: 't', writes: { '0/a': 'x' } });
    bench.group(0).holding = true;
    const lost = watch(bench.send(request));
    await bench.time.advance(1_000);
    bench.group(0).depose('chosen');
    await bench.time.settle();
    expect(lost.error).toMatchObject({ kind: 'outcome-unknown' });
    bench.group(0).holding = false;
    bench.group(0).appoint('s2');
    const again = await bench.ask(request);
    expect(again).toMatchObject({ kind: 'record', record: { state: 'committed' } });
    expect(texts(await bench.ask(readOf(0, ['0/a'], bench.now())))).toEqual(['x']);
  });

  it('says conflict if a key read has changed since', async () => {
    const bench = new ShardBench(1);
    await bench.ask(onePhaseOf(0, { txn: 'u', writes: { '0/a': 'new' } }));
    const answer = await bench.ask(onePhaseOf(0, { txn: 't', reads: { '0/a': 0n }, writes: { '0/a': 'x' } }));
    expect(answer).toMatchObject({ kind: 'conflict' });
    expect(texts(await bench.ask(readOf(0, ['0/a'], bench.now())))).toEqual(['new']);
  });
});

describe('two phases', () => {
  it('makes the writes of both shards visible at the commit timestamp', async () => {
    const bench = new ShardBench(2);
    const txn = handleOf('t', 0);
    const yes0 = await bench.ask(prepareOf(0, { txn: 't', writes: { '0/a': 'x' } }));
    const yes1 = await bench.ask(prepareOf(1, { txn: 't', writes: { '1/b': 'y' } }));
    if (yes0.kind !== 'prepared' || yes1.kind !== 'prepared') throw new Error('voted no');
    expect(yes1.prepTs).toBeGreaterThan(yes0.prepTs);
    const outcome = committed(yes1.prepTs);
    expect(await bench.ask(decideOf(txn, outcome, [0, 1]))).toEqual({ kind: 'record', record: outcome });
    expect(await bench.ask(resolveOf(0, txn, outcome))).toEqual({ kind: 'resolved' });
    expect(await bench.ask(resolveOf(1, txn, outcome))).toEqual({ kind: 'resolved' });
    const now = bench.now();
    expect(texts(await bench.ask(readOf(0, ['0/a'], now)))).toEqual(['x']);
    expect(texts(await bench.ask(readOf(1, ['1/b'], now)))).toEqual(['y']);
    expect(texts(await bench.ask(readOf(1, ['1/b'], yes1.prepTs - 1n)))).toEqual([undefined]);
  });

  it('gives a repeated prepare the first timestamp, and a late one the record', async () => {
    const bench = new ShardBench(1);
    const request = prepareOf(0, { txn: 't', writes: { '0/a': 'x' } });
    const first = await bench.ask(request);
    expect(await bench.ask(request)).toEqual(first);
    await bench.ask(decideOf(handleOf('t', 0), aborted()));
    expect(await bench.ask(request)).toEqual({ kind: 'record', record: aborted() });
  });

  it('resolves the anchor with its own decision: no second log entry', async () => {
    const bench = new ShardBench(1);
    await bench.ask(prepareOf(0, { txn: 't', writes: { '0/a': 'x' } }));
    const outcome = committed(bench.now());
    await bench.ask(decideOf(handleOf('t', 0), outcome, [0]));
    const entries = bench.group(0).log.length;
    expect(await bench.ask(resolveOf(0, handleOf('t', 0), outcome))).toEqual({ kind: 'resolved' });
    expect(bench.group(0).log).toHaveLength(entries);
    expect(texts(await bench.ask(readOf(0, ['0/a'], bench.now())))).toEqual(['x']);
  });

  it('refuses a prepare that comes after its abort was resolved here', async () => {
    const bench = new ShardBench(2);
    await bench.ask(resolveOf(1, handleOf('t', 0), aborted()));
    expect(await bench.ask(prepareOf(1, { txn: 't', writes: { '1/a': 'x' } }))).toEqual({
      kind: 'record',
      record: aborted(),
    });
  });
});

describe('a reader', () => {
  it('waits for a key that is latched, for its writer may get a timestamp below', async () => {
    const bench = new ShardBench(1);
    bench.oracleHeld = true;
    const write = bench.send(onePhaseOf(0, { txn: 't', writes: { '0/a': 'x' } }));
    await bench.time.settle();
    const read = watch(bench.send(readOf(0, ['0/a'], bench.now())));
    await bench.time.advance(SECOND_US);
    expect(read.done).toBe(false);
    bench.releaseOracle();
    await bench.time.until(write);
    await bench.time.settle();
    expect(texts(read.value as StorageResponse)).toEqual(['x']);
    expect([...bench.reached]).toContain('read-met-latch');
  });

  it('does not wait for shared locks, other keys, or writers above its timestamp', async () => {
    const bench = new ShardBench(1);
    const early = bench.now();
    await bench.ask(prepareOf(0, { txn: 't', reads: { '0/r': 0n }, writes: { '0/a': 'x' } }));
    expect(texts(await bench.ask(readOf(0, ['0/r', '0/other'], bench.now())))).toEqual([undefined, undefined]);
    expect(texts(await bench.ask(readOf(0, ['0/a'], early)))).toEqual([undefined]);
    expect(bench.routed).toEqual([]);
  });

  it('waits for an intent that may commit below it, and sees it commit', async () => {
    const bench = new ShardBench(2);
    const txn = handleOf('t', 0);
    await bench.ask(prepareOf(1, { txn: 't', writes: { '1/a': 'x' } }));
    const commitTs = bench.now();
    const read = watch(bench.send(readOf(1, ['1/a'], bench.now())));
    await bench.time.advance(100_000);
    expect(read.done).toBe(false);
    await bench.ask(decideOf(txn, committed(commitTs)));
    await bench.time.advance(SECOND_US);
    expect(texts(read.value as StorageResponse)).toEqual(['x']);
    expect(bench.routed.map(({ kind }) => kind)).toContain('status');
  });

  it('reads what was before an intent that its anchor has aborted, and clears it away', async () => {
    const bench = new ShardBench(2);
    await bench.ask(prepareOf(1, { txn: 't', writes: { '1/a': 'x' } }));
    await bench.ask(decideOf(handleOf('t', 0), aborted()));
    expect(texts(await bench.ask(readOf(1, ['1/a'], bench.now())))).toEqual([undefined]);
    expect(bench.host(1).inDoubtCount).toBe(0);
  });

  it('is told to come back when a writer stays in doubt for too long', async () => {
    const bench = new ShardBench(2);
    await bench.ask(prepareOf(1, { txn: 't', writes: { '1/a': 'x' } }));
    await expect(bench.ask(readOf(1, ['1/a'], bench.now()))).rejects.toMatchObject({ kind: 'unavailable' });
  });

  it('is sent to the new leader when leadership is lost while it waits', async () => {
    const bench = new ShardBench(1);
    bench.oracleHeld = true;
    void bench.send(onePhaseOf(0, { txn: 't', writes: { '0/a': 'x' } })).catch(() => undefined);
    await bench.time.settle();
    const read = watch(bench.send(readOf(0, ['0/a'], bench.now())));
    await bench.time.advance(1_000);
    bench.group(0).depose();
    await bench.time.settle();
    expect(read.error).toMatchObject({ kind: 'not-leader' });
    const hinted = watch(bench.host(0).handle(readOf(0, ['0/a'], bench.now())));
    bench.group(0).appoint('s2');
    await bench.time.settle();
    expect(hinted.error).toMatchObject({ kind: 'not-leader', details: { hint: 's2:2500' } });
  });

  it('reads nothing before its leadership is confirmed', async () => {
    const bench = new ShardBench(1);
    bench.group(0).barriersHeld = true;
    const read = watch(bench.host(0).handle(readOf(0, ['0/a'], bench.now())));
    await bench.time.settle();
    // Deposed, and it does not know yet when the read comes.
    bench.group(0).depose();
    bench.group(0).appoint('s2');
    bench.group(0).release();
    await bench.time.settle();
    expect(read.error).toMatchObject({ kind: 'not-leader' });
  });
});

describe('a scan', () => {
  const filled = async (): Promise<ShardBench> => {
    const bench = new ShardBench(2);
    await bench.ask(onePhaseOf(0, { txn: 'f', writes: { '0/a': '1', '0/b': '2', '0/c': '3', '0/d': '4' } }));
    return bench;
  };

  it('returns live keys in order, page by page', async () => {
    const bench = await filled();
    await bench.ask(onePhaseOf(0, { txn: 'g', writes: { '0/b': undefined } }));
    const page = await bench.ask(scanOf(0, '0/', '00', bench.now(), 2));
    expect(page).toMatchObject({ kind: 'scan', more: true });
    if (page.kind !== 'scan') throw new Error(page.kind);
    expect(page.rows.map(({ key, value }) => `${key.toString()}=${value.toString()}`)).toEqual(['0/a=1', '0/c=3']);
    const rest = await bench.ask(scanOf(0, '0/c\0', '', bench.now(), 2));
    expect(rest).toMatchObject({ kind: 'scan', more: false, rows: [{ key: Buffer.from('0/d') }] });
  });

  it('waits for an intent in its range, also on a key that does not exist yet', async () => {
    const bench = await filled();
    const txn = handleOf('t', 1);
    await bench.ask(prepareOf(0, { txn: 't', anchor: 1, writes: { '0/bb': 'new' } }));
    const commitTs = bench.now();
    const scan = watch(bench.send(scanOf(0, '0/', '00', bench.now())));
    await bench.time.advance(50_000);
    expect(scan.done).toBe(false);
    await bench.ask(decideOf(txn, committed(commitTs)));
    await bench.time.advance(SECOND_US);
    const { rows } = scan.value as StorageResponse & { kind: 'scan' };
    expect(rows.map(({ key }) => key.toString())).toEqual(['0/a', '0/b', '0/bb', '0/c', '0/d']);
  });

  it('does not wait for what lies behind its page', async () => {
    const bench = await filled();
    await bench.ask(prepareOf(0, { txn: 't', anchor: 1, writes: { '0/cc': 'new' } }));
    const page = await bench.ask(scanOf(0, '0/', '00', bench.now(), 2));
    expect(page).toMatchObject({ kind: 'scan', more: true });
  });

  it('waits for latched keys in its range only', async () => {
    const bench = await filled();
    bench.oracleHeld = true;
    const write = bench.send(onePhaseOf(0, { txn: 't', writes: { '0/b': 'x' } }));
    await bench.time.settle();
    expect(await bench.ask(scanOf(0, '0/c', '00', bench.now()))).toMatchObject({ kind: 'scan', more: false });
    const scan = watch(bench.send(scanOf(0, '0/a', '0/c', bench.now())));
    await bench.time.advance(1_000);
    expect(scan.done).toBe(false);
    bench.releaseOracle();
    await bench.time.until(write);
    await bench.time.settle();
    expect((scan.value as StorageResponse & { kind: 'scan' }).rows.map(({ value }) => value.toString())).toEqual([
      '1',
      'x',
    ]);
  });
});

describe('conflicts', () => {
  it('lets the younger die at once', async () => {
    const bench = new ShardBench(1);
    await bench.ask(prepareOf(0, { txn: 'old', priority: 1n, writes: { '0/a': 'x' } }));
    const answer = watch(bench.send(prepareOf(0, { txn: 'young', priority: 2n, writes: { '0/a': 'y' } })));
    await bench.time.settle();
    expect(answer.value).toMatchObject({ kind: 'conflict' });
  });

  it('lets the older wait until the younger is resolved', async () => {
    const bench = new ShardBench(1);
    await bench.ask(prepareOf(0, { txn: 'young', priority: 2n, writes: { '0/a': 'y' } }));
    const older = watch(bench.send(prepareOf(0, { txn: 'old', priority: 1n, writes: { '0/a': 'x' } })));
    await bench.time.advance(10_000);
    expect(older.done).toBe(false);
    await bench.ask(decideOf(handleOf('young', 0), aborted()));
    await bench.time.advance(1_000);
    expect(older.value).toMatchObject({ kind: 'prepared' });
  });

  it('lets the older wait no longer than a second', async () => {
    const bench = new ShardBench(1);
    await bench.ask(prepareOf(0, { txn: 'young', priority: 2n, writes: { '0/a': 'y' } }));
    const older = watch(bench.send(prepareOf(0, { txn: 'old', priority: 1n, writes: { '0/a': 'x' } })));
    await bench.time.advance(1_200_000);
    expect(older.value).toMatchObject({ kind: 'conflict' });
  });

  it('waits for latches as for locks', async () => {
    const bench = new ShardBench(1);
    bench.oracleHeld = true;
    const first = bench.send(onePhaseOf(0, { txn: 'young', priority: 2n, writes: { '0/a': 'y' } }));
    await bench.time.settle();
    const older = watch(bench.send(onePhaseOf(0, { txn: 'old', priority: 1n, writes: { '0/a': 'x' } })));
    const younger = watch(bench.send(onePhaseOf(0, { txn: 'younger', priority: 3n, writes: { '0/a': 'z' } })));
    await bench.time.settle();
    expect(younger.value).toMatchObject({ kind: 'conflict' });
    expect(older.done).toBe(false);
    bench.releaseOracle();
    await bench.time.until(first);
    await bench.time.advance(1_000);
    expect(older.value).toMatchObject({ kind: 'record', record: { state: 'committed' } });
    expect(texts(await bench.ask(readOf(0, ['0/a'], bench.now())))).toEqual(['x']);
  });

  it('gives up an earlier attempt of the same transaction when the next one comes', async () => {
    const bench = new ShardBench(2);
    await bench.ask(prepareOf(1, { txn: 't', writes: { '1/a': 'x' } }));
    const next = await bench.ask(prepareOf(1, { txn: 't', attempt: 2, writes: { '1/a': 'y' } }));
    expect(next).toMatchObject({ kind: 'prepared' });
    expect(await bench.ask({ kind: 'status', shard: 0, txn: handleOf('t', 0) })).toEqual({
      kind: 'record',
      record: aborted(1),
    });
  });

  it('answers the next attempt with the commit of the earlier one, if that is what the record says', async () => {
    const bench = new ShardBench(2);
    await bench.ask(prepareOf(1, { txn: 't', writes: { '1/a': 'x' } }));
    const outcome = committed(bench.now());
    await bench.ask(decideOf(handleOf('t', 0), outcome));
    const next = await bench.ask(prepareOf(1, { txn: 't', attempt: 2, writes: { '1/a': 'y' } }));
    expect(next).toEqual({ kind: 'record', record: outcome });
    expect(texts(await bench.ask(readOf(1, ['1/a'], bench.now())))).toEqual(['x']);
  });
});

describe('a coordinator that died', () => {
  it('is outlived: readers abort its transaction once it has expired', async () => {
    const bench = new ShardBench(2);
    await bench.ask(prepareOf(1, { txn: 't', writes: { '1/a': 'x' } }));
    await bench.time.advance(5 * SECOND_US);
    expect(texts(await bench.ask(readOf(1, ['1/a'], bench.now())))).toEqual([undefined]);
    // Its decision to commit, come back late, loses.
    expect(await bench.ask(decideOf(handleOf('t', 0), committed(bench.now())))).toEqual({
      kind: 'record',
      record: aborted(),
    });
    expect([...bench.reached]).toContain('dead-coordinator-recovered');
  });

  it('leaves no intent behind though nobody meets it', async () => {
    const bench = new ShardBench(3);
    await bench.ask(prepareOf(1, { txn: 't', writes: { '1/a': 'x' } }));
    await bench.ask(prepareOf(2, { txn: 't', writes: { '2/a': 'x' } }));
    for (let elapsed = 0; elapsed < 6; elapsed += 0.5) {
      for (const shard of [0, 1, 2]) bench.host(shard).sweep();
      await bench.time.advance(SECOND_US / 2);
    }
    expect(bench.host(1).inDoubtCount + bench.host(2).inDoubtCount).toBe(0);
    expect(texts(await bench.ask(readOf(1, ['1/a'], bench.now())))).toEqual([undefined]);
  });

  it('that had decided is finished with its own decision, soon, and at the next leader', async () => {
    const bench = new ShardBench(2);
    await bench.ask(prepareOf(1, { txn: 't', writes: { '1/a': 'x' } }));
    await bench.ask(decideOf(handleOf('t', 0), committed(bench.now())));
    bench.group(1).depose();
    bench.group(1).appoint('s2');
    expect(bench.successor(1).inDoubtCount).toBe(1);
    await bench.time.advance(SECOND_US);
    bench.successor(1).sweep();
    await bench.time.advance(SECOND_US / 10);
    expect(bench.successor(1).inDoubtCount).toBe(0);
    expect(texts(await bench.ask(readOf(1, ['1/a'], bench.now())))).toEqual(['x']);
  });

  it('stays in doubt while its anchor cannot be reached', async () => {
    const bench = new ShardBench(2);
    await bench.ask(prepareOf(1, { txn: 't', writes: { '1/a': 'x' } }));
    bench.unreachable.add(0);
    await bench.time.advance(20 * SECOND_US);
    bench.host(1).sweep();
    await bench.time.advance(SECOND_US);
    expect(bench.host(1).inDoubtCount).toBe(1);
    await expect(bench.ask(readOf(1, ['1/a'], bench.now()))).rejects.toMatchObject({ kind: 'unavailable' });
    bench.unreachable.clear();
    expect(texts(await bench.ask(readOf(1, ['1/a'], bench.now())))).toEqual([undefined]);
  });
});

describe('leadership', () => {
  it('is needed for everything, and the answer says where to go', async () => {
    const bench = new ShardBench(1);
    const txn = handleOf('t', 0);
    const requests = [
      readOf(0, ['0/a'], 5n),
      scanOf(0, '0/', '00', 5n),
      prepareOf(0, { txn: 't', writes: { '0/a': 'x' } }),
      onePhaseOf(0, { txn: 't', writes: { '0/a': 'x' } }),
      decideOf(txn, aborted()),
      { kind: 'status', shard: 0, txn } as const,
      resolveOf(0, txn, aborted()),
    ];
    for (const request of requests) {
      const answer = bench.time.until(bench.successor(0).handle(request));
      await expect(answer).rejects.toMatchObject({ kind: 'not-leader', details: { hint: 's1:2500' } });
    }
    expect(bench.group(0).log).toEqual([]);
  });

  // The timestamp was taken in an earlier leadership: the leader in between may have served reads above it.
  it('is asked for again after the timestamp came: one lost and regained is not the same', async () => {
    const bench = new ShardBench(1);
    bench.oracleHeld = true;
    const write = watch(bench.send(onePhaseOf(0, { txn: 't', writes: { '0/a': 'x' } })));
    await bench.time.settle();
    bench.group(0).depose();
    bench.group(0).appoint('s2');
    const readTs = bench.now();
    expect(texts(await bench.time.until(bench.successor(0).handle(readOf(0, ['0/a'], readTs))))).toEqual([undefined]);
    bench.group(0).depose();
    bench.group(0).appoint('s1');
    bench.releaseOracle();
    await bench.time.settle();
    expect(write.error).toMatchObject({ kind: 'not-leader' });
    expect(texts(await bench.ask(readOf(0, ['0/a'], readTs)))).toEqual([undefined]);
  });

  it('lost after proposing makes the answer unknown, never a no', async () => {
    const bench = new ShardBench(1);
    bench.group(0).holding = true;
    const write = watch(bench.send(onePhaseOf(0, { txn: 't', writes: { '0/a': 'x' } })));
    await bench.time.advance(1_000);
    bench.group(0).depose('lost');
    await bench.time.settle();
    expect(write.error).toMatchObject({ kind: 'outcome-unknown' });
  });

  it('lets go of the keys when the oracle cannot be reached', async () => {
    const bench = new ShardBench(1);
    const host = bench.host(0);
    bench.oracleHeld = true;
    const write = watch(host.handle(onePhaseOf(0, { txn: 't', writes: { '0/a': 'x' } })));
    await bench.time.settle();
    bench.group(0).depose();
    bench.group(0).appoint('s1');
    bench.releaseOracle();
    await bench.time.settle();
    expect(write.done).toBe(true);
    expect(await bench.ask(onePhaseOf(0, { txn: 'u', writes: { '0/a': 'y' } }))).toMatchObject({ kind: 'record' });
  });
});

describe('bounds', () => {
  it('refuses writes beyond those in progress, and waiting beyond the waiters', async () => {
    const bench = new ShardBench(1, { writesInflightMax: 1 });
    bench.oracleHeld = true;
    const first = bench.send(onePhaseOf(0, { txn: 't', writes: { '0/a': 'x' } }));
    await expect(bench.send(onePhaseOf(0, { txn: 'u', writes: { '0/b': 'y' } }))).rejects.toMatchObject({
      kind: 'overloaded',
    });
    bench.releaseOracle();
    await bench.time.until(first);

    const crowded = new ShardBench(1, { waitersMax: 0 });
    await crowded.ask(prepareOf(0, { txn: 't', writes: { '0/a': 'x' } }));
    await expect(crowded.ask(readOf(0, ['0/a'], crowded.now()))).rejects.toMatchObject({ kind: 'overloaded' });
  });

  it.each<[string, () => Parameters<ShardBench['send']>[0], string]>([
    ['an empty key', () => readOf(0, [''], 5n), 'keys[0] is empty'],
    ['a key of another shard', () => readOf(0, ['1/a'], 5n), 'keys[0] "1/a" does not belong to shard 0'],
    [
      'a long key',
      () => onePhaseOf(0, { txn: 't', writes: { [`0/${'k'.repeat(1_023)}`]: 'x' } }),
      'writes[0].key has 1025 bytes',
    ],
    [
      'a large value',
      () => onePhaseOf(0, { txn: 't', writes: { '0/a': 'x'.repeat((1 << 20) + 1) } }),
      'writes[0].value has 1048577 bytes',
    ],
    [
      'a large transaction',
      () => {
        const values = Object.fromEntries(Array.from({ length: 9 }, (_, n) => [`0/${n}`, 'x'.repeat(1 << 20)]));
        return prepareOf(0, { txn: 't', writes: values });
      },
      'a transaction has at most 8388608',
    ],
    [
      'too many keys',
      () =>
        prepareOf(0, { txn: 't', reads: Object.fromEntries(Array.from({ length: 10_001 }, (_, n) => [`0/${n}`, 0n])) }),
      'a transaction has at most 10000',
    ],
    [
      'one phase away from the anchor',
      () => onePhaseOf(0, { txn: 't', anchor: 1, writes: { '0/a': 'x' } }),
      'txn.anchor is 1',
    ],
    [
      'a decision away from the anchor',
      () => ({ ...decideOf(handleOf('t', 1), aborted()), shard: 0 }),
      'txn.anchor is 1',
    ],
    ['a crooked transaction id', () => decideOf({ id: 'T', anchor: 0 }, aborted()), 'txn.id'],
    ['attempt 0', () => prepareOf(0, { txn: 't', attempt: 0, writes: { '0/a': 'x' } }), 'attempt.attempt is 0'],
    ['a scan without a limit', () => scanOf(0, '0/', '00', 5n, 0), 'limit is 0'],
  ])('names the field of %s', async (_what, request, message) => {
    const error: unknown = await new ShardBench(1).send(request()).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(SynodError);
    expect((error as SynodError).message).toContain(message);
    expect(['invalid-argument', 'wrong-shard']).toContain((error as SynodError).kind);
  });
});
