import { SLOT_HASH } from '@synod/consistent-hashing';
import { noProbes, silentLog, type Log } from '@synod/runtime';
import { ManualTime } from './manual-time';
import { MemoryCoordination } from './memory-coordination';
import { clusterKey, nodeCodec, nodeKey, placementCodec, placementKey } from './metadata';
import { PlacementView } from './placement';
import { Planner, PLANNER_DEFAULTS, type PlannerOptions } from './planner';

const options: PlannerOptions = {
  ...PLANNER_DEFAULTS,
  cluster: { clusterId: 'c1', shardCount: 16, hash: SLOT_HASH },
};

function bench() {
  const coordination = new MemoryCoordination();
  const time = new ManualTime();
  const warnings: string[] = [];
  const log: Log = { ...silentLog, warn: (message) => void warnings.push(message) };
  const random = { below: () => 0, bytes: (length: number) => Buffer.alloc(length) };
  const ports = { coordination, clock: time, timers: time, random, log, probes: noProbes };
  const register = (nodeId: string, incarnation = `of-${nodeId}`, heldShards = 0): void =>
    coordination.put(
      nodeKey('storage-shard', nodeId),
      nodeCodec.encode({ service: 'storage-shard', nodeId, incarnation, address: `${nodeId}:2500`, heldShards }),
    );
  const plan = (change: Partial<PlannerOptions> = {}): Planner => {
    const planner = new Planner(ports, { ...options, ...change });
    planner.start();
    return planner;
  };
  return { coordination, time, ports, warnings, register, plan };
}

describe('Planner', () => {
  it('waits for the wanted number of nodes, then founds every shard on three of them with spread leaders', async () => {
    const { time, ports, register, plan, warnings } = bench();
    const planner = plan();
    register('s1');
    register('s2');
    await time.advance(5_000_000);
    expect(planner.status).toEqual({ state: 'waiting', reason: '2 of 3 storage nodes have registered' });

    register('s3');
    await time.advance(500_000);
    expect(planner.status).toEqual({ state: 'founded' });
    const founded = await time.until(new PlacementView(ports).whenFounded());
    expect(founded.cluster).toEqual(options.cluster);
    const led = new Map<string, number>();
    for (const { members } of founded.placements) {
      expect(members.map((member) => member.replicaId)).toEqual([1, 2, 3]);
      expect(members.map((member) => member.incarnation).sort()).toEqual(['of-s1', 'of-s2', 'of-s3']);
      const leader = members[0]!.nodeId;
      led.set(leader, (led.get(leader) ?? 0) + 1);
    }
    expect([...led.values()].sort()).toEqual([5, 5, 6]);
    expect(warnings).toEqual([]);
  });

  it('founds without replication, and warns, when too few nodes came in time', async () => {
    const { coordination, time, register, plan, warnings } = bench();
    plan();
    register('s1');
    register('s2');
    await time.advance(16_000_000);
    expect(placementCodec.decode(coordination.get(placementKey(0))!).members).toHaveLength(1);
    expect(warnings).toHaveLength(1);
  });

  it('never writes again what is founded, whoever comes later', async () => {
    const { coordination, time, register, plan } = bench();
    for (const id of ['s1', 's2', 's3']) register(id);
    plan();
    await time.advance(1_000_000);
    const before = coordination.get(placementKey(7))!.modRevision;
    register('s4');
    register('s1', 'another-disk');
    const second = plan();
    await time.advance(20_000_000);
    expect(second.status).toEqual({ state: 'founded' });
    expect(coordination.get(placementKey(7))!.modRevision).toBe(before);
  });

  it('lets exactly one of two planners found', async () => {
    const { coordination, time, register, plan } = bench();
    for (const id of ['s1', 's2', 's3']) register(id);
    const planners = [plan(), plan()];
    await time.advance(2_000_000);
    expect(planners.map((planner) => planner.status.state)).toEqual(['founded', 'founded']);
    expect(coordination.get(clusterKey())!.version).toBe(1n);
    expect(coordination.get(placementKey(0))!.version).toBe(1n);
  });

  // Rule: a node that holds data of a shard refuses to found it; a missing placement with nodes that hold data is an alarm.
  it('raises an alarm instead of founding when a node already holds shards', async () => {
    const { coordination, time, register, plan } = bench();
    for (const id of ['s1', 's2']) register(id);
    register('s3', 'of-s3', 16);
    const planner = plan();
    await time.advance(20_000_000);
    expect(planner.status.state).toBe('alarm');
    expect(planner.status).toMatchObject({ reason: expect.stringContaining('s3 holds 16 shards') as string });
    expect(coordination.get(clusterKey())).toBeUndefined();
  });

  it('raises an alarm when a placement of a founded cluster is gone', async () => {
    const { coordination, time, register, plan } = bench();
    for (const id of ['s1', 's2', 's3']) register(id);
    const planner = plan();
    await time.advance(1_000_000);
    coordination.remove(placementKey(3));
    await time.advance(1_000_000);
    expect(planner.status).toMatchObject({ state: 'alarm', reason: expect.stringContaining('1 of 16') as string });
    expect(coordination.get(placementKey(3))).toBeUndefined();
  });

  it('refuses a store of another cluster or another hash', async () => {
    const { time, register, plan } = bench();
    for (const id of ['s1', 's2', 's3']) register(id);
    plan();
    await time.advance(1_000_000);
    const foreign = plan({ cluster: { ...options.cluster, clusterId: 'c2' } });
    const newer = plan({ cluster: { ...options.cluster, hash: 'xxh3' } });
    await time.advance(1_000_000);
    expect([foreign.status.state, newer.status.state]).toEqual(['alarm', 'alarm']);
  });

  it('does not found with a node that came back on another disk while it planned', async () => {
    const { coordination, time, register, plan } = bench();
    for (const id of ['s1', 's2', 's3']) register(id);
    let transactions = 0;
    coordination.fate = (call) => {
      // The first transaction only reads; the second writes.
      if (call === 'transaction' && ++transactions === 2) register('s2', 'new-disk');
      return 'answered';
    };
    plan();
    await time.advance(2_000_000);
    const members = placementCodec.decode(coordination.get(placementKey(0))!).members;
    expect(members.find((member) => member.nodeId === 's2')?.incarnation).toBe('new-disk');
  });

  it.each(['lost-request', 'lost-reply'] as const)('founds in the end although its calls end as %s', async (fate) => {
    const { coordination, time, register, plan } = bench();
    for (const id of ['s1', 's2', 's3']) register(id);
    let calls = 0;
    coordination.fate = () => (calls++ % 3 === 2 || calls === 4 ? fate : 'answered');
    const planner = plan();
    await time.advance(3_000_000);
    coordination.fate = () => 'answered';
    await time.advance(3_000_000);
    expect(planner.status).toEqual({ state: 'founded' });
    expect(coordination.get(clusterKey())!.version).toBe(1n);
  });
});
