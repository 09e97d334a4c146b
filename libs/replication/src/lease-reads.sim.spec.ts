import type { BarrierResult, Group } from './api';
import { WordCluster } from './testing/word-cluster';

const LEASES = { maxClockDriftPpm: 200 };
const SECOND_US = 1_000_000;

/** Three members of which n1 leads the group that is looked at, with a lease that a read has just brought. */
async function leasing(seed: number): Promise<{ cluster: WordCluster; leader: Group<number> }> {
  const cluster = new WordCluster(seed, { network: { codec: seed % 2 === 0 }, leases: LEASES });
  await cluster.awaitLeaders();
  await cluster.write(0, 'before');
  const leader = cluster.leaderOf(0)!;
  expect(await cluster.settle(leader.readBarrier())).toMatchObject({ kind: 'ready' });
  // The answers of a majority are in, those of a round that renews it too.
  await cluster.world.run(cluster.world.now + 50_000);
  return { cluster, leader };
}

/** What a read barrier says within a time; undefined if it says nothing. */
async function readWithin(cluster: WordCluster, group: Group<number>, us: number): Promise<BarrierResult | undefined> {
  let answer: BarrierResult | undefined;
  void group.readBarrier().then((result) => (answer = result));
  await cluster.world.run(() => answer !== undefined, us);
  return answer;
}

describe('reads by a lease', () => {
  it('need nobody while it holds, and a majority afterwards', async () => {
    const { cluster, leader } = await leasing(1);
    for (const node of cluster.nodes.slice(1)) node.pause();
    const before = cluster.world.now;
    expect(await cluster.settle(leader.readBarrier())).toMatchObject({ kind: 'ready' });
    expect(cluster.world.now - before).toBeLessThan(1_000);
    await cluster.world.run(cluster.world.now + SECOND_US);
    expect(await readWithin(cluster, leader, 200_000)).toBeUndefined();
  });

  it('are none without leases: each needs a majority', async () => {
    const cluster = new WordCluster(2);
    await cluster.awaitLeaders();
    const leader = cluster.leaderOf(0)!;
    await cluster.settle(leader.readBarrier());
    for (const node of cluster.nodes.slice(1)) node.pause();
    expect(await readWithin(cluster, leader, 200_000)).toBeUndefined();
  });

  // A process that stood still believes what was so before. Its clock has gone on. Invariant `lease-checked-at-the-answer`.
  it.each([3, 4, 5])(
    'are none any more for a leader that stood still while another one came (seed %i)',
    async (seed) => {
      const { cluster, leader } = await leasing(seed);
      const [first, ...others] = cluster.nodes;
      const cut = others.flatMap(({ name }) => [
        { from: 'n1', to: name },
        { from: name, to: 'n1' },
      ]);
      cluster.world.network.cut(cut);
      first!.pause();
      await cluster.world.run(() => others.some(({ host }) => host?.groups[0]?.status().leader !== 'n1'));
      const next = (): Group<number> | undefined =>
        others.map(({ host }) => host?.groups[0]).find((group) => group?.status().role === 'leader');
      expect(await cluster.world.run(() => next() !== undefined)).toBe(true);
      expect(await cluster.settle(next()!.propose(Buffer.from('after')))).toMatchObject({ kind: 'applied' });
      const stale = readWithin(cluster, leader, 500_000);
      first!.resume();
      expect((await stale)?.kind).not.toBe('ready');
    },
  );

  it('are none any more when the wall clock shows that the machine stood still', async () => {
    const { cluster, leader } = await leasing(6);
    for (const node of cluster.nodes.slice(1)) node.pause();
    cluster.nodes[0]!.clock.stepWall(2_000);
    expect(await readWithin(cluster, leader, 200_000)).toBeUndefined();
  });

  it.each([7, 10])('do not keep a leader from handing over at once (seed %i)', async (seed) => {
    const { cluster, leader } = await leasing(seed);
    const before = cluster.world.now;
    expect(await cluster.settle(leader.transferLeadership('n3'))).toEqual({ kind: 'transferred' });
    await cluster.world.run(() => cluster.leaderOf(0)?.status().leader === 'n3');
    expect(cluster.world.now - before).toBeLessThan(200_000);
    expect(await cluster.write(0, 'after')).toBe(2);
  });

  // n2 asks for this group as soon as it starts: nothing but what it and n3 may have granted keeps them from electing it at once.
  it('outlast the restart of those who granted them, also without the option', async () => {
    const { cluster } = await leasing(8);
    expect(await cluster.settle(cluster.leaderOf(1)!.transferLeadership('n1'))).toEqual({ kind: 'transferred' });
    await cluster.world.run(() => cluster.leaderOf(1)?.status().leader === 'n1');
    const [first, second, third] = cluster.nodes;
    const leader = first!.host!.groups[1]!;
    expect(await readWithin(cluster, leader, SECOND_US)).toMatchObject({ kind: 'ready' });
    cluster.leases = undefined;
    for (const node of [second!, third!]) node.kill('power');
    for (const node of [second!, third!]) node.start();
    const startedUs = cluster.world.now;
    first!.pause();
    const elected = (): boolean => [second, third].some((node) => node?.host?.groups[1]?.status().role === 'leader');
    expect(await cluster.world.run(elected)).toBe(true);
    expect(cluster.world.now - startedUs).toBeGreaterThan(SECOND_US);
  });
});
