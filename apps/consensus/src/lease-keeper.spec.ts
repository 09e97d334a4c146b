import { ManualTime } from '@synod/coordination';
import { LeaseKeeper } from './lease-keeper';
import { StateBench } from './testing/state-bench';

class Bench extends StateBench {
  readonly time = new ManualTime();
  /** Time that passed while the process stood still: the clock went on, no timer ran. */
  stalledUs = 0;
  readonly expired: bigint[] = [];
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

it('knows no lease, and ends none, while it does not lead', async () => {
  const bench = new Bench();
  bench.grant(1n, 5n);
  await bench.time.advance(60 * SECOND);
  expect([bench.expired, bench.keeper.renew(1n), bench.keeper.remaining(1n)]).toEqual([[], undefined, undefined]);
});

it('gives every lease its whole time again when it begins to lead', async () => {
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
  expect(bench.keeper.renew(1n)).toBe(5n);
  await bench.time.advance(4 * SECOND);
  expect(bench.keeper.remaining(1n)).toEqual({ grantedSeconds: 5n, remainingSeconds: 1n });
  await bench.time.advance(2 * SECOND);
  expect([bench.expired, bench.keeper.renew(1n)]).toEqual([[1n], undefined]);
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
