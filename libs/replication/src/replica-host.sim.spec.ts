import { VALUE_BYTES_MAX } from './api';
import { GROUPS, NODES, WordCluster } from './testing/word-cluster';

describe('ReplicaHost', () => {
  it('elects the preferred leaders at founding, and applies on every node what a proposer was told', async () => {
    const cluster = new WordCluster(1);
    await cluster.awaitLeaders();
    for (let index = 0; index < GROUPS; index++) {
      expect(cluster.leaderOf(index)?.status().leader).toBe(NODES[index % NODES.length]);
      expect(await cluster.write(index, 'hello')).toBe(1);
    }
    const everywhere = await cluster.world.run(() =>
      cluster.nodes.every((node) => node.host?.groups.every((group) => group.status().appliedThrough === 2)),
    );
    expect(everywhere).toBe(true);
  });

  it('speaks protobuf when the network carries bytes', async () => {
    const cluster = new WordCluster(2, { network: { codec: true } });
    await cluster.awaitLeaders();
    expect(await cluster.write(0, 'bytes')).toBe(1);
  });

  it('answers a read barrier at the leader only, with everything acknowledged applied', async () => {
    const cluster = new WordCluster(3);
    await cluster.awaitLeaders();
    await cluster.write(0, 'a');
    await cluster.write(0, 'b');
    const answers: Record<string, unknown> = {};
    for (const node of cluster.nodes) {
      void node.host?.groups[0]?.readBarrier().then((result) => (answers[node.name] = result));
    }
    await cluster.world.run(() => Object.keys(answers).length === NODES.length);
    expect(answers).toEqual({
      n1: { kind: 'ready', applied: 3 },
      n2: { kind: 'not-leader', leader: 'n1' },
      n3: { kind: 'not-leader', leader: 'n1' },
    });
  });

  it.each([11, 12, 13, 14, 15])(
    'moves leadership off a node that lost power, keeping every word (seed %i)',
    async (seed) => {
      const cluster = new WordCluster(seed);
      await cluster.awaitLeaders();
      for (let word = 1; word <= 5; word++) await cluster.write(0, `w${word}`);
      const [first] = cluster.nodes;
      first?.kill('power');
      expect(await cluster.write(0, 'after')).toBeGreaterThanOrEqual(6);
      first?.start();
      const caughtUp = await cluster.world.run(
        () =>
          (first?.host?.groups[0]?.status().appliedThrough ?? 0) >=
          (cluster.leaderOf(0)?.status().chosenThrough ?? Infinity),
      );
      expect(caughtUp).toBe(true);
    },
  );

  it.each([61, 62, 63])('elects as soon as the process of a leader has ended (seed %i)', async (seed) => {
    const cluster = new WordCluster(seed);
    await cluster.awaitLeaders();
    await cluster.write(0, 'before');
    cluster.nodes[0]?.kill('process');
    const before = cluster.world.now;
    await cluster.awaitLeaders();
    expect(cluster.world.now - before).toBeLessThan(300_000);
    expect(await cluster.write(0, 'after')).toBe(2);
  });

  it.each([64, 65, 66])(
    'elects nobody when one member alone takes a living leader for dead (seed %i)',
    async (seed) => {
      const cluster = new WordCluster(seed, { network: { rejectPermille: 1_000 } });
      await cluster.awaitLeaders();
      const promised = cluster.leaderOf(0)?.status().promised;
      const way = [
        { from: 'n1', to: 'n3' },
        { from: 'n3', to: 'n1' },
      ];
      cluster.world.network.cut(way);
      await cluster.world.run(cluster.world.now + 10_000_000);
      cluster.world.network.uncut(way);
      expect(await cluster.write(0, 'after')).toBe(1);
      expect(cluster.leaderOf(0)?.status()).toMatchObject({ leader: 'n1', promised });
    },
  );

  it.each([16, 17, 18])(
    'hands leadership over without losing a word, faster than an election (seed %i)',
    async (seed) => {
      const cluster = new WordCluster(seed, { network: { codec: seed === 16 } });
      await cluster.awaitLeaders();
      await cluster.write(0, 'before');
      const group = cluster.leaderOf(0)!;
      expect(await cluster.settle(group.transferLeadership('nobody'))).toEqual({ kind: 'no-such-voter' });
      const before = cluster.world.now;
      expect(await cluster.settle(group.transferLeadership('n3'))).toEqual({ kind: 'transferred' });
      expect(await cluster.settle(group.transferLeadership('n2'))).toEqual({ kind: 'not-leader', leader: 'n3' });
      await cluster.world.run(() => cluster.leaderOf(0)?.status().leader === 'n3');
      expect(cluster.world.now - before).toBeLessThan(200_000);
      expect(await cluster.write(0, 'after')).toBe(2);
    },
  );

  it.each([
    ['a few large', 9, 400_000],
    ['many small', 900, 4_000],
  ])('makes values of a bounded size of %s commands that one turn brings', async (_, count, bytes) => {
    const cluster = new WordCluster(71);
    await cluster.awaitLeaders();
    await cluster.write(0, 'before');
    const group = cluster.leaderOf(0)!;
    const before = group.status().chosenThrough;
    const outcomes = await cluster.settle(
      Promise.all(Array.from({ length: count }, () => group.propose(Buffer.alloc(bytes)))),
    );
    expect(new Set(outcomes.map(({ kind }) => kind))).toEqual(new Set(['applied']));
    expect(outcomes.map((outcome) => (outcome.kind === 'applied' ? outcome.result : 0))).toEqual(
      Array.from({ length: count }, (_each, index) => index + 2),
    );
    // As many as fit share one.
    const values = Math.ceil(count / Math.floor(VALUE_BYTES_MAX / bytes));
    expect(group.status().chosenThrough - before).toBe(values);
  });

  it('gathers what comes while a value is on its way: the more, the larger the next one', async () => {
    const cluster = new WordCluster(72);
    await cluster.awaitLeaders();
    await cluster.write(0, 'before');
    const group = cluster.leaderOf(0)!;
    const before = group.status().chosenThrough;
    const outcomes = [group.propose(Buffer.from('first'))];
    cluster.world.after(1_000, () => {
      for (let word = 0; word < 100; word++) outcomes.push(group.propose(Buffer.from(`w${word}`)));
    });
    await cluster.world.run(() => outcomes.length === 101);
    await cluster.settle(Promise.all(outcomes));
    expect(group.status().chosenThrough - before).toBe(2);
  });

  it('keeps every word when all nodes lose power at once', async () => {
    const cluster = new WordCluster(21);
    await cluster.awaitLeaders();
    for (let index = 0; index < GROUPS; index++)
      for (let word = 0; word < 3; word++) await cluster.write(index, `w${word}`);
    for (const node of cluster.nodes) node.kill('power');
    for (const node of cluster.nodes) node.start();
    await cluster.world.run(() => cluster.nodes.every((node) => node.host !== undefined));
    await cluster.awaitLeaders();
    for (let index = 0; index < GROUPS; index++) expect(await cluster.write(index, 'last')).toBe(4);
  });

  it('ignores a member that comes back on another disk', async () => {
    const cluster = new WordCluster(31);
    await cluster.awaitLeaders();
    await cluster.write(1, 'before');
    const [, second, third] = cluster.nodes;
    second?.kill('power');
    const refusal = await cluster.refusal({ nodeId: 'n2', incarnation: 'another-disk' });
    expect(refusal).toMatch(/group g0 has no replica on node n2 with data folder another-disk/);
    expect(third?.state).toBe('running');
  });

  it('costs little when idle: under 300 events a second for three nodes, whatever they host', async () => {
    const cluster = new WordCluster(41);
    await cluster.awaitLeaders();
    await cluster.world.run(cluster.world.now + 5_000_000);
    const before = cluster.world.events;
    await cluster.world.run(cluster.world.now + 10_000_000);
    expect((cluster.world.events - before) / 10).toBeLessThan(300);
  });
});

// What a kernel says of a failed fsync it may say only once, and the pages may be gone: no retry can tell what is on the disk.
describe('a disk that fails', () => {
  it.each([
    ['a sync', 'sync', 'EIO', 71],
    ['a sync', 'sync', 'EIO', 72],
    ['a write', 'write', 'EIO', 73],
    ['a write', 'write', 'ENOSPC', 74],
  ] as const)(
    'ends the process at %s that fails, which has vouched for nothing since; nothing acknowledged is lost (%s, %s, seed %i)',
    async (_, work, code, seed) => {
      const cluster = new WordCluster(seed);
      await cluster.awaitLeaders();
      for (let index = 0; index < GROUPS; index++) expect(await cluster.write(index, 'before')).toBe(1);
      const victim = cluster.nodes[0]!;
      const failures: { readonly name: string; readonly error: unknown }[] = [];
      const vouchedAfterwards: string[] = [];
      cluster.failed = (name, error) => failures.push({ name, error });
      cluster.observer = {
        vouched: (group, from, { message }) => {
          if (failures.length > 0 && from.nodeId === victim.name) vouchedAfterwards.push(`${group} ${message.kind}`);
        },
      };
      victim.disk.failNext(work, code);
      // It leads two groups, and votes in the others.
      let answered = false;
      void cluster
        .leaderOf(0)!
        .propose(Buffer.from('at its end'))
        .then(() => (answered = true));
      for (const index of [1, 2]) expect(await cluster.write(index, 'during')).toBe(2);
      expect(failures.map(({ name }) => name)).toEqual([victim.name]);
      expect(failures[0]?.error).toMatchObject({ kind: 'outcome-unknown' });
      expect((failures[0]?.error as Error).message).toMatch(new RegExp(`^write-ahead log: cannot write .*${code}`));

      // The process is as good as gone: the others lead on, and whatever it does until it ends says nothing of its disk.
      const others = cluster.nodes.filter((node) => node !== victim).map(({ host }) => host?.groups[0]);
      const led = (): boolean => others.some((group) => group?.status().role === 'leader');
      expect(await cluster.world.run(led, 30_000_000)).toBe(true);
      await cluster.world.run(cluster.world.now + 1_000_000);
      expect({ failures: failures.length, vouchedAfterwards, answered }).toEqual({
        failures: 1,
        vouchedAfterwards: [],
        answered: false,
      });

      victim.kill(seed % 2 === 0 ? 'power' : 'process');
      victim.start();
      const groups = Array.from({ length: GROUPS }, (_, index) => index);
      for (const index of groups) await cluster.write(index, 'after');
      expect(await cluster.world.run(() => groups.every((index) => cluster.agrees(index)), 30_000_000)).toBe(true);
      for (const index of groups) {
        const words = victim.host!.machines[index]!.dump(victim.host!.store);
        expect(words).toContain('=before');
        if (index === 1 || index === 2) expect(words).toContain('=during');
        expect(words).toContain('=after');
      }
      expect(failures).toHaveLength(1);
    },
  );
});

describe('a lost log', () => {
  it('is refused while the store shows that there was one', async () => {
    const cluster = new WordCluster(51);
    await cluster.awaitLeaders();
    await cluster.write(0, 'word');
    const [first] = cluster.nodes;
    await cluster.world.run(() => first?.host?.groups[0]?.status().appliedThrough === 2);
    // The store of n1 with the folder of its log deleted.
    const refusal = await cluster.refusal({ nodeId: 'n1', incarnation: 'n1-disk' }, (ports) =>
      ports.store.transaction((transaction) => transaction.put(Buffer.from('\0g0'), Buffer.from([0, 0, 0, 0, 0, 1]))),
    );
    expect(refusal).toMatch(/group g0 was applied here through 1, but the write-ahead log does not know of it/);
  });
});
