import { AUDIT_PERIOD_US } from './replica-audit';
import { hashHistory, hashState } from './snapshot-hash';
import { SNAPSHOT_MAGIC, snapshotPieces, withDigest } from './snapshot-file';
import { EtcdError } from './state/errors';
import { KeySpace } from './state/key-space';
import type { Alarm } from './state/requests';
import { ClusterBench } from './testing/cluster-bench';
import { get, PREFIX, put, remove, txn, under } from './testing/state-bench';

const SECOND = 1_000_000;
const NAMES = ['n1', 'n2', 'n3'];
const MIB = 1 << 20;

const codeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'done',
    (error: unknown) => (error instanceof EtcdError ? error.code : error),
  );

/** What a member's disk holds, as the test wants it. */
class Gauge {
  inUseBytes = 0;
  free = 10 * MIB;
  usage(): { fileBytes: number; inUseBytes: number } {
    return { fileBytes: this.inUseBytes, inUseBytes: this.inUseBytes };
  }
  freeBytes(): Promise<number> {
    return Promise.resolve(this.free);
  }
}

class Bench extends ClusterBench {
  static async led(auditPeriodUs = AUDIT_PERIOD_US): Promise<Bench> {
    const gauges = new Map(NAMES.map((name) => [name, new Gauge()]));
    const limits = { quotaBytes: MIB, reserveBytes: 4 * MIB };
    const bench = new Bench(NAMES, undefined, (name) => ({
      storage: { gauge: gauges.get(name)!, limits },
      auditPeriodUs,
    }));
    bench.gauges = gauges;
    await bench.lead('n1');
    await bench.time.advance(SECOND);
    return bench;
  }

  gauges!: ReadonlyMap<string, Gauge>;

  gauge(name: string): Gauge {
    return this.gauges.get(name)!;
  }

  /** What a client is told, asking a member for something. */
  async told(name: string, request: (host: ClusterBench['host']) => Promise<unknown>): Promise<unknown> {
    return this.time.until(codeOf(request(this.member(name).host)));
  }

  put(name: string, key = 'a', value = '1'): Promise<unknown> {
    return this.told(name, (host) => host.put(put(key, value), 'client'));
  }
}

const raise = (member: bigint, type: Alarm['type']) => ({ action: 'raise', member, type, automatic: false }) as const;
const clear = (member: bigint, type: Alarm['type']) => ({ action: 'clear', member, type, automatic: false }) as const;

// Invariant `alarms-refuse-by-the-log`.
describe('an alarm', () => {
  it('is raised once, listed by every member, and cleared', async () => {
    const bench = await Bench.led();
    for (let time = 0; time < 2; time++) {
      expect(await bench.time.until(bench.host.changeAlarm(raise(9n, 'no-space')))).toMatchObject({
        alarms: [{ member: 9n, type: 'no-space' }],
      });
    }
    expect(await bench.time.until(bench.member('n3').host.listAlarms())).toHaveLength(1);
    expect(await bench.time.until(bench.host.changeAlarm(clear(8n, 'no-space')))).toMatchObject({ alarms: [] });
    expect(await bench.time.until(bench.host.changeAlarm(clear(9n, 'no-space')))).toMatchObject({
      alarms: [{ member: 9n, type: 'no-space' }],
    });
    expect(await bench.time.until(bench.member('n3').host.listAlarms())).toEqual([]);
  });

  it('of no space refuses what adds data, on every member, and lets room be made', async () => {
    const bench = await Bench.led();
    await bench.put('n1');
    await bench.time.until(bench.host.changeAlarm(raise(9n, 'no-space')));
    // One that an operator raised is not cleared by members that have room.
    await bench.time.advance(5 * SECOND);
    expect(await bench.put('n2')).toBe('no-space');
    expect(await bench.told('n3', (host) => host.leases.grant(0n, 9n, 'client'))).toBe('no-space');
    const nested = txn([], [], [txn([], [put('a', '2')])]);
    expect(await bench.told('n1', (host) => host.txn(nested, 'client'))).toBe('no-space');
    expect(await bench.told('n1', (host) => host.range(get('a')))).toBe('done');
    expect(await bench.told('n1', (host) => host.txn(txn([], [remove('x')]), 'client'))).toBe('done');
    expect(await bench.told('n1', (host) => host.deleteRange(remove('a'), 'client'))).toBe('done');
    expect(await bench.told('n1', (host) => host.compact(3n, true))).toBe('done');
    // The cluster's own keys: nodes must be able to register, timestamps to go on.
    expect(await bench.told('n1', (host) => host.put(put('\0synod/x', '1'), 'service'))).toBe('done');
    await bench.time.until(bench.host.changeAlarm(clear(9n, 'no-space')));
    expect(await bench.put('n2')).toBe('done');
  });

  it('of corruption lets nothing change', async () => {
    const bench = await Bench.led();
    await bench.put('n1');
    const { id } = await bench.time.until(bench.host.leases.grant(0n, 5n, 'client'));
    await bench.time.until(bench.host.changeAlarm(raise(9n, 'corrupt')));
    expect(await bench.put('n2')).toBe('corrupt');
    expect(await bench.told('n1', (host) => host.deleteRange(remove('a'), 'client'))).toBe('corrupt');
    expect(await bench.told('n1', (host) => host.compact(2n, false))).toBe('corrupt');
    expect(await bench.told('n1', (host) => host.leases.revoke(id))).toBe('corrupt');
    expect(await bench.told('n1', (host) => host.leases.grant(0n, 9n, 'client'))).toBe('corrupt');
    expect(await bench.told('n1', (host) => host.range(get('a')))).toBe('done');
    await bench.time.advance(20 * SECOND);
    expect(await bench.time.until(bench.host.leases.list())).toEqual([id]);
    await bench.time.until(bench.host.changeAlarm(clear(9n, 'corrupt')));
    await bench.time.advance(SECOND);
    expect(await bench.time.until(bench.host.leases.list())).toEqual([]);
  });
});

describe('space', () => {
  it('that runs out at one member stops puts at all of them, until there is some again', async () => {
    const bench = await Bench.led();
    bench.gauge('n3').inUseBytes = MIB;
    await bench.time.advance(SECOND);
    expect(bench.host.alarms).toEqual([{ member: 3n, type: 'no-space', automatic: true }]);
    expect(await bench.put('n1')).toBe('no-space');
    bench.gauge('n3').inUseBytes = 0.95 * MIB;
    await bench.time.advance(SECOND);
    expect(await bench.put('n1')).toBe('no-space');
    bench.gauge('n3').inUseBytes = 0.85 * MIB;
    await bench.time.advance(SECOND);
    expect([bench.host.alarms, await bench.put('n1')]).toEqual([[], 'done']);
  });

  it('is not promised twice between two looks at it', async () => {
    const bench = await Bench.led();
    const big = 'x'.repeat(MIB / 4);
    const told = await bench.time.until(
      Promise.all([1, 2, 3, 4].map(() => codeOf(bench.host.put(put('a', big), 'client')))),
    );
    expect(told.filter((each) => each === 'no-space')).toHaveLength(1);
    // The store is not full: what is smaller goes on, and no alarm is raised.
    expect([await bench.put('n1'), bench.host.alarms]).toEqual(['done', []]);
  });

  it('that the disk lacks is kept for making room', async () => {
    const bench = await Bench.led();
    bench.gauge('n1').free = 3.9 * MIB;
    await bench.time.advance(SECOND);
    expect(await bench.put('n1')).toBe('no-space');
    expect(await bench.told('n1', (host) => host.deleteRange(remove('a'), 'client'))).toBe('done');
    bench.gauge('n1').free = 4.5 * MIB;
    await bench.time.advance(SECOND);
    expect(await bench.put('n2')).toBe('no-space');
    bench.gauge('n1').free = 6 * MIB;
    await bench.time.advance(SECOND);
    expect(await bench.put('n2')).toBe('done');
  });

  it('is asked for again when an operator clears an alarm too early', async () => {
    const bench = await Bench.led();
    bench.gauge('n2').inUseBytes = MIB;
    await bench.time.advance(SECOND);
    await bench.time.until(bench.host.changeAlarm(clear(2n, 'no-space')));
    expect(bench.host.alarms).toEqual([]);
    await bench.time.advance(SECOND);
    expect(bench.host.alarms).toHaveLength(1);
  });
});

describe('the comparison of states', () => {
  async function corrupted(name: string, names = NAMES): Promise<Bench> {
    const bench = await Bench.led(60 * SECOND);
    for (let index = 0; index < 1_200; index++) await bench.put(names[index % names.length]!, `k${index}`);
    const { store } = bench.member(name);
    store.transaction((transaction) => {
      for (const { key, value } of store.range({ start: Buffer.from([1]), end: Buffer.from([2]) })) {
        // One bit, in the value of a late version.
        if (!value.includes('k1100')) continue;
        const rotten = Buffer.from(value);
        rotten[rotten.length - 1]! ^= 1;
        transaction.put(key, rotten);
        return;
      }
      throw new Error('there is no such record');
    });
    await bench.time.advance(65 * SECOND);
    return bench;
  }

  it.each([
    ['a follower', 'n3', 3n],
    ['the leader', 'n1', 1n],
  ])('finds one flipped bit at %s, and names it', async (_, name, member) => {
    const bench = await corrupted(name);
    expect(bench.host.alarms).toEqual([{ member, type: 'corrupt', automatic: true }]);
    expect(await bench.put('n2')).toBe('corrupt');
  });

  it('finds that two members differ while the third is away, and cannot say who is right', async () => {
    const bench = await Bench.led(60 * SECOND);
    await bench.put('n1', 'a', '1');
    bench.member('n3').group.paused = true;
    bench.member('n2').store.transaction((transaction) => transaction.put(Buffer.from('\x01kb'), Buffer.from('stray')));
    await bench.time.advance(75 * SECOND);
    expect(bench.host.alarms).toEqual([{ member: 0n, type: 'corrupt', automatic: true }]);
  });

  it('finds nothing where there is nothing, whatever is written meanwhile', async () => {
    const bench = await Bench.led(SECOND);
    for (let index = 0; index < 40; index++) {
      for (let key = 0; key < 30; key++) await bench.put(NAMES[key % 3]!, `k${key * index}`);
      if (index % 8 === 7) await bench.told('n2', (host) => host.compact(BigInt(25 * index), false));
      await bench.time.advance(SECOND / 2);
    }
    expect(bench.host.alarms).toEqual([]);
  });
});

describe('the hash of the history', () => {
  it('is the same on every member, however far it is with a compaction', async () => {
    const bench = await Bench.led();
    for (let index = 0; index < 60; index++) await bench.put('n1', `k${index % 7}`, String(index));
    await bench.told('n1', (host) => host.deleteRange(remove('k3'), 'client'));
    await bench.put('n1', 'k4');
    await bench.lead(undefined);
    await bench.lead('n1');
    const hash = (name: string, revision: bigint) =>
      bench.time.until(bench.member(name).host.snapshots.with((snapshot) => hashHistory(snapshot, revision)));
    const before = await hash('n2', 62n);
    expect(await hash('n3', 62n)).toEqual(before);
    expect((await hash('n3', 61n)).hash).not.toBe(before.hash);

    // The steps that remove records are proposed later, by a leader.
    const compacted = bench.host.compact(62n, false);
    await bench.time.until(compacted);
    const early = await hash('n2', 0n);
    await bench.time.advance(SECOND);
    const late = await hash('n3', 0n);
    expect([early.hash, early.compacted, early.hashRevision]).toEqual([late.hash, 62n, 63n]);
    expect(await bench.time.until(codeOf(hash('n2', 64n)))).toBe('future-revision');
    expect(await bench.time.until(codeOf(hash('n2', 61n)))).toBe('compacted');
    expect(await bench.time.until(codeOf(hash('n2', 62n)))).toBe('done');
    const all = await Promise.all(
      NAMES.map((name) => bench.time.until(bench.member(name).host.snapshots.with(hashState))),
    );
    expect(new Set(all.map((each) => each.hash)).size).toBe(1);
  });
});

describe('a snapshot', () => {
  it('is of one moment although writes go on, and as long as etcdctl wants it', async () => {
    const bench = await Bench.led();
    for (let index = 0; index < 1_500; index++) await bench.put('n1', `k${index}`);
    const header = { release: '', cluster: '', member: '', revision: '', compacted: '', instance: 0 };
    const pieces: Buffer[] = [];
    const saved = bench.host.snapshots.with(async (snapshot) => {
      for await (const piece of withDigest(snapshotPieces(header, snapshot.records()))) {
        pieces.push(piece);
        void bench.host.put(put(`k${pieces.length}`, 'later'), 'client');
      }
    });
    await bench.time.until(saved);
    const file = Buffer.concat(pieces);
    expect(pieces.length).toBeGreaterThan(5);
    expect([file.length % 512, file.subarray(0, 8)]).toEqual([32, SNAPSHOT_MAGIC]);
    expect(file.includes('later')).toBe(false);
  });

  it('is open a few at a time', async () => {
    const bench = await Bench.led();
    const open = [1, 2, 3, 4].map(() => bench.host.snapshots.open());
    expect(() => bench.host.snapshots.open()).toThrow('too many requests');
    open[0]?.release();
    open[0]?.release();
    open[0] = bench.host.snapshots.open();
    expect(() => bench.host.snapshots.open()).toThrow('too many requests');
    for (const snapshot of open) snapshot.release();
  });
});

describe('automatic compaction', () => {
  const compacted = (bench: ClusterBench): bigint => new KeySpace(PREFIX).meta(bench.member('n1').store).compacted;

  it('keeps the last revisions', async () => {
    const bench = new ClusterBench(NAMES, undefined, () => ({ retention: { mode: 'revision', revisions: 10 } }));
    await bench.lead('n1');
    for (let index = 0; index < 30; index++) await bench.time.until(bench.host.put(put('a', '1'), 'client'));
    await bench.time.advance(290 * SECOND);
    expect(compacted(bench)).toBe(-1n);
    await bench.time.advance(60 * SECOND);
    expect(compacted(bench)).toBe(21n);
  });

  it('keeps the last while, also under a new leader', async () => {
    const bench = new ClusterBench(NAMES, undefined, () => ({
      retention: { mode: 'periodic', periodUs: 600 * SECOND },
    }));
    await bench.lead('n1');
    for (let minute = 0; minute < 21; minute++) {
      await bench.time.until(bench.host.put(put('a', String(minute)), 'client'));
      await bench.time.advance(60 * SECOND);
      if (minute === 15) await bench.lead('n2');
    }
    // At minute 20 what was there at minute 10.
    expect(compacted(bench)).toBeGreaterThanOrEqual(10n);
    expect(compacted(bench)).toBeLessThanOrEqual(13n);
    expect((await bench.host.range(under('', { revision: 13n }), true)).count).toBe(1n);
  });
});
