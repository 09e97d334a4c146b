import { EtcdError } from './state/errors';
import { rangeRequest } from './state/requests';
import type { RangeResult } from './state/results';
import { ClusterBench } from './testing/cluster-bench';
import { compare, get, put, remove, txn, under } from './testing/state-bench';

const values = (result: RangeResult): string[] => result.entries.map(({ value }) => value.toString());
const codeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'done',
    (error: unknown) => (error instanceof EtcdError ? error.code : error),
  );

async function led(names = ['n1', 'n2', 'n3']): Promise<ClusterBench> {
  const bench = new ClusterBench(names);
  await bench.lead('n1');
  return bench;
}

describe('a write', () => {
  it('is done by the leader, whichever member is asked', async () => {
    const bench = await led();
    for (const name of ['n1', 'n2', 'n3']) {
      await bench.time.until(bench.member(name).host.put(put(name, '1'), 'client'));
    }
    const everything = await bench.time.until(bench.member('n3').host.range(under('')));
    expect(everything).toMatchObject({ revision: 4n, count: 3n });
  });

  it('waits for a leader, and is refused if there is none for too long', async () => {
    const bench = new ClusterBench(['n1', 'n2']);
    const patient = bench.member('n2').host.put(put('a', '1'), 'client');
    await bench.time.advance(3_000_000);
    await bench.lead('n1');
    expect(await bench.time.until(patient)).toMatchObject({ revision: 2n });
    await bench.lead(undefined);
    expect(await bench.time.until(codeOf(bench.host.put(put('a', '2'), 'client')))).toBe('timed-out');
  });

  // etcd's clients never repeat a write that was answered UNAVAILABLE, and count on the server not to either.
  it('is not repeated when its answer is lost', async () => {
    const bench = await led();
    bench.member('n1').group.loseNextAnswer = true;
    const lost = [codeOf(bench.host.put(put('a', '1'), 'client'))];
    bench.loseNextForwardedAnswer = true;
    lost.push(codeOf(bench.member('n2').host.put(put('b', '1'), 'client')));
    expect(await bench.time.until(Promise.all(lost))).toEqual(['timed-out-leader-failed', 'timed-out-connection-lost']);
    expect(bench.logLength).toBe(2);
  });

  it('is checked before it takes a place in the log', async () => {
    const bench = await led();
    expect(await codeOf(bench.host.put(put('', '1'), 'client'))).toBe('empty-key');
    expect(await codeOf(bench.host.put(put('\0synod/x', '1'), 'client'))).toBe('permission-denied');
    expect(await codeOf(bench.host.put(put('a', 'x'.repeat(1536 * 1024)), 'client'))).toBe('request-too-large');
    expect(bench.logLength).toBe(0);
  });

  it('spares the reserved prefix for a client, inside transactions too', async () => {
    const bench = await led();
    await bench.time.until(bench.host.put(put('\0synod/x', '1'), 'service'));
    await bench.time.until(bench.host.put(put('a', '1'), 'client'));
    await bench.time.until(bench.host.txn(txn([], [txn([], [remove('\0', '\0')])]), 'client'));
    expect(values(await bench.time.until(bench.host.range(under(''))))).toEqual(['1']);
    await bench.time.until(bench.host.deleteRange(remove('\0', '\0'), 'service'));
    expect(await bench.time.until(bench.host.range(under('')))).toMatchObject({ count: 0n });
  });

  it('tells what the state machine refuses', async () => {
    const bench = await led();
    expect(await bench.time.until(codeOf(bench.host.put(put('a', '1', { lease: 9n }), 'client')))).toBe(
      'lease-not-found',
    );
    expect(await bench.time.until(codeOf(bench.host.compact(9n, false)))).toBe('future-revision');
  });
});

describe('a read', () => {
  it('at a member that lags waits until it shows what was acknowledged before', async () => {
    const bench = await led();
    const lagging = bench.member('n3');
    lagging.group.paused = true;
    await bench.time.until(bench.host.put(put('a', '1'), 'client'));
    const stale = await lagging.host.range(get('a'), true);
    const fresh = lagging.host.range(get('a'));
    await bench.time.advance(1_000_000);
    await bench.resume('n3');
    expect([values(stale), values(await bench.time.until(fresh))]).toEqual([[], ['1']]);
  });

  it('at a member that does not catch up is refused, and later ones are not held up by it', async () => {
    const bench = await led();
    bench.member('n3').group.paused = true;
    await bench.time.until(bench.host.put(put('a', '1'), 'client'));
    expect(await bench.time.until(codeOf(bench.member('n3').host.range(get('a'))))).toBe('timed-out-apply');
    const later = bench.member('n3').host.range(get('a'));
    await bench.resume('n3');
    expect(values(await bench.time.until(later))).toEqual(['1']);
  });

  it('needs no leader when it is serializable', async () => {
    const bench = await led();
    await bench.time.until(bench.host.put(put('a', '1'), 'client'));
    await bench.lead(undefined);
    expect(values(await bench.host.range(get('a'), true))).toEqual(['1']);
    expect(await bench.time.until(codeOf(bench.host.range(get('a'))))).toBe('timed-out');
  });

  it('in a transaction takes no place in the log', async () => {
    const bench = await led();
    await bench.time.until(bench.host.put(put('a', '1'), 'client'));
    const request = txn([compare('a', 'value', 'equal', '1')], [get('a'), txn([], [under('')])]);
    expect(await bench.time.until(bench.member('n2').host.txn(request, 'client'))).toMatchObject({
      revision: 2n,
      succeeded: true,
      responses: [{ count: 1n }, { kind: 'txn', responses: [{ count: 1n }] }],
    });
    expect(bench.logLength).toBe(1);
    const future = txn([], [txn([], [get('a', { revision: 99n })])]);
    expect(await bench.time.until(codeOf(bench.host.txn(future, 'client')))).toBe('future-revision');
  });

  it('passes with all others that came before its round began, and never by an earlier round', async () => {
    const bench = await led();
    const first = bench.host.range(get('a'));
    await bench.time.until(bench.host.put(put('a', '1'), 'client'));
    const second = [get('a'), rangeRequest(Buffer.from('a'), Buffer.alloc(0))].map((each) => bench.host.range(each));
    await bench.time.until(first);
    expect((await bench.time.until(Promise.all(second))).map(values)).toEqual([['1'], ['1']]);
  });
});

describe('a lease', () => {
  it('expires with its keys when nobody renews it', async () => {
    const bench = await led();
    const { id, ttlSeconds } = await bench.time.until(bench.member('n2').host.leases.grant(0n, 10n, 'client'));
    expect([id > 0n, ttlSeconds]).toEqual([true, 10n]);
    await bench.time.until(bench.host.put(put('a', '1', { lease: id }), 'client'));
    await bench.time.advance(8_000_000);
    expect(await bench.time.until(bench.member('n3').host.leases.timeToLive(id))).toMatchObject({
      revision: 2n,
      grantedSeconds: 10n,
      remainingSeconds: 2n,
      keys: [Buffer.from('a')],
    });
    expect(await bench.time.until(bench.member('n2').host.leases.keepAlive(id))).toMatchObject({
      revision: 2n,
      ttlSeconds: 10n,
    });
    await bench.time.advance(9_000_000);
    expect(values(await bench.host.range(get('a'), true))).toEqual(['1']);
    await bench.time.advance(2_000_000);
    expect(values(await bench.host.range(get('a'), true))).toEqual([]);
    // A missing lease is no error for these two.
    expect(await bench.time.until(bench.host.leases.keepAlive(id))).toMatchObject({ ttlSeconds: 0n });
    expect(await bench.time.until(bench.host.leases.timeToLive(id))).toMatchObject({ remainingSeconds: -1n });
  });

  it('has what the log says was left of it under a new leader', async () => {
    const bench = await led();
    const { id } = await bench.time.until(bench.host.leases.grant(0n, 20n, 'client'));
    await bench.time.advance(12_000_000);
    await bench.lead('n2');
    expect(await bench.time.until(bench.host.leases.timeToLive(id))).toMatchObject({ remainingSeconds: 10n });
    await bench.time.advance(11_000_000);
    expect(await bench.time.until(bench.host.leases.list())).toEqual([]);
  });

  it('can be revoked, listed and chosen by its owner', async () => {
    const bench = await led();
    await bench.time.until(bench.host.leases.grant(77n, 60n, 'client'));
    expect(await bench.time.until(codeOf(bench.host.leases.grant(77n, 60n, 'client')))).toBe('lease-exists');
    expect(await bench.time.until(bench.member('n2').host.leases.list())).toEqual([77n]);
    await bench.time.until(bench.host.leases.revoke(77n));
    expect(await bench.time.until(codeOf(bench.host.leases.revoke(77n)))).toBe('lease-not-found');
  });
});

describe('a compaction', () => {
  it('is carried through by the leader, and waited for if asked', async () => {
    const bench = await led();
    for (let index = 0; index < 1_500; index++) await bench.time.until(bench.host.put(put('a', '1'), 'client'));
    const before = bench.member('n2').store.size;
    await bench.time.until(bench.member('n2').host.compact(1_500n, true));
    expect([before, bench.member('n2').store.size]).toEqual([1_502, 4]);
    expect(await bench.time.until(codeOf(bench.host.range(get('a', { revision: 1_499n }))))).toBe('compacted');
  });

  it('goes on under the next leader', async () => {
    const bench = await led();
    for (let index = 0; index < 1_500; index++) await bench.time.until(bench.host.put(put('a', '1'), 'client'));
    const compacted = bench.host.compact(1_500n, false);
    await bench.time.until(compacted);
    await bench.lead('n3');
    await bench.time.advance(100_000);
    expect(bench.member('n1').store.size).toBe(4);
  });
});

it('tells its owner when it begins and ends to lead', async () => {
  const bench = await led();
  await bench.lead('n2');
  expect(bench.leaderships).toEqual(['n1 leads', 'n1 follows', 'n2 leads']);
  expect([bench.member('n1').host.isLeader, bench.member('n2').host.isLeader, bench.host.hasLeader]).toEqual([
    false,
    true,
    true,
  ]);
});
