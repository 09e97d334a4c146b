import { ManualTime } from '@synod/coordination';
import { LeaseKeeper } from './lease-keeper';
import type { LeaseRemaining } from './state/requests';
import { StateBench } from './testing/state-bench';

class Bench extends StateBench {
  readonly time = new ManualTime();
  /** Time that passed while the process stood still: the clock went on, no timer ran. */
  stalledUs = 0;
  readonly expired: bigint[] = [];
  readonly checkpoints: (readonly LeaseRemaining[])[] = [];
  /** Whether a proposed revocation is chosen. */
  chosen = true;
  readonly keeper = new LeaseKeeper(
    { clock: { monotonicUs: () => this.time.monotonicUs() + this.stalledUs, wallMs: () => 0 }, timers: this.time },
    this.machine.keySpace,
    this.store,
    async (id) => {
      this.expired.push(id);
      if (this.chosen) this.apply({ kind: 'lease-revoke', id });
    },
    async (leases) => {
      this.checkpoints.push(leases);
      // One that is not chosen may be for all its proposer knows.
      if (this.chosen) this.apply({ kind: 'lease-checkpoint', leases });
      return this.chosen;
    },
  );

  override apply(command: Parameters<StateBench['apply']>[0]): ReturnType<StateBench['apply']> {
    const result = super.apply(command);
    this.keeper.note(this.leases.splice(0));
    return result;
  }

  grant(id: bigint, ttlSeconds: bigint): void {
    this.apply({ kind: 'lease-grant', id, ttlSeconds });
  }
}

const SECOND = 1_000_000;

it('says nothing of a lease, and ends none, while it does not lead', async () => {
  const bench = new Bench();
  bench.grant(1n, 5n);
  await bench.time.advance(60 * SECOND);
  expect(bench.expired).toEqual([]);
  await expect(bench.keeper.renew(1n)).rejects.toMatchObject({ kind: 'not-leader' });
  expect(() => bench.keeper.remaining(1n)).toThrow(expect.objectContaining({ kind: 'not-leader' }) as Error);
});

it('gives a lease its whole time again under a new leader if the log does not say what was left of it', async () => {
  const bench = new Bench();
  bench.grant(1n, 5n);
  await bench.time.advance(60 * SECOND);
  bench.keeper.lead();
  await bench.time.advance(4.9 * SECOND);
  expect(bench.expired).toEqual([]);
  await bench.time.advance(SECOND);
  expect(bench.expired).toEqual([1n]);
});

it('counts from the last renewal', async () => {
  const bench = new Bench();
  bench.keeper.lead();
  bench.grant(1n, 5n);
  await bench.time.advance(4 * SECOND);
  expect(await bench.keeper.renew(1n)).toBe(5n);
  await bench.time.advance(4 * SECOND);
  expect(bench.keeper.remaining(1n)).toEqual({ grantedSeconds: 5n, remainingSeconds: 1n });
  await bench.time.advance(2 * SECOND);
  expect([bench.expired, await bench.keeper.renew(1n)]).toEqual([[1n], undefined]);
});

it('renews nothing that it has proposed to revoke, and proposes again what was not chosen', async () => {
  const bench = new Bench();
  bench.keeper.lead();
  bench.grant(1n, 5n);
  bench.chosen = false;
  await bench.time.advance(6 * SECOND);
  expect(bench.expired.length).toBeGreaterThan(0);
  bench.chosen = true;
  await bench.time.advance(SECOND);
  expect(bench.keeper.remaining(1n)).toBeUndefined();
});

// etcd#15247: a leader whose disk was stuck ended all leases when it went on.
it('does not count the time in which it stood still and could not hear renewals', async () => {
  const bench = new Bench();
  bench.keeper.lead();
  bench.grant(1n, 5n);
  await bench.time.advance(2 * SECOND);
  bench.stalledUs = 60 * SECOND;
  await bench.time.advance(2 * SECOND);
  expect(bench.expired).toEqual([]);
  await bench.time.advance(3 * SECOND);
  expect(bench.expired).toEqual([1n]);
});

it('ends a multitude bit by bit', async () => {
  const bench = new Bench();
  bench.keeper.lead();
  for (let id = 1n; id <= 1_200n; id++) bench.grant(id, 2n);
  await bench.time.advance(2 * SECOND);
  expect(bench.expired).toHaveLength(500);
  await bench.time.advance(SECOND);
  expect(bench.expired).toHaveLength(1_200);
});

describe('the remaining time of a lease', () => {
  // etcd#9395: a lease had its whole time again after each election, so that one that nobody renews might never end.
  it('outlives its leader, give or take half of it', async () => {
    const bench = new Bench();
    bench.keeper.lead();
    bench.grant(1n, 60n);
    await bench.time.advance(31 * SECOND);
    bench.keeper.lead();
    expect(bench.keeper.remaining(1n)).toEqual({ grantedSeconds: 60n, remainingSeconds: 30n });
    await bench.time.advance(16 * SECOND);
    bench.keeper.lead();
    expect(bench.keeper.remaining(1n)).toEqual({ grantedSeconds: 60n, remainingSeconds: 15n });
    await bench.time.advance(16 * SECOND);
    expect(bench.expired).toEqual([1n]);
  });

  it('is logged seldom, and never for a lease that is renewed after a third of its time', async () => {
    const bench = new Bench();
    bench.keeper.lead();
    bench.grant(1n, 60n);
    bench.grant(2n, 60n);
    for (let renewal = 0; renewal < 9; renewal++) {
      await bench.time.advance(20 * SECOND);
      expect(await bench.keeper.renew(1n)).toBe(60n);
    }
    expect(bench.checkpoints.flat().filter(({ id }) => id === 1n)).toEqual([]);
    expect(bench.checkpoints.flat().map(({ remainingSeconds }) => remainingSeconds)).toEqual([30n, 15n, 8n, 3n]);
  });

  it('is logged for many leases bit by bit', async () => {
    const bench = new Bench();
    bench.keeper.lead();
    for (let id = 1n; id <= 2_500n; id++) bench.grant(id, 60n);
    await bench.time.advance(33 * SECOND);
    expect(bench.checkpoints.map((leases) => leases.length)).toEqual([1_000, 1_000, 500]);
  });

  // A new leader counts from what was logged: a renewal that only the last one knew of would end early.
  it('is whole again in the log before a renewal is answered', async () => {
    const bench = new Bench();
    bench.keeper.lead();
    bench.grant(1n, 60n);
    await bench.time.advance(40 * SECOND);
    expect(await bench.keeper.renew(1n)).toBe(60n);
    bench.keeper.lead();
    expect(bench.keeper.remaining(1n)).toEqual({ grantedSeconds: 60n, remainingSeconds: 60n });
    await bench.time.advance(40 * SECOND);
    bench.chosen = false;
    await expect(bench.keeper.renew(1n)).rejects.toMatchObject({ kind: 'not-leader' });
    bench.chosen = true;
    bench.keeper.lead();
    expect(bench.keeper.remaining(1n)).toEqual({ grantedSeconds: 60n, remainingSeconds: 30n });
  });
});
