import { silentLog, SynodError } from '@synod/runtime';
import { ManualTime } from './manual-time';
import { MemoryCoordination } from './memory-coordination';
import { clusterCodec, clusterKey, oracleCodec, oracleKey, placementCodec, placementKey } from './metadata';
import { PlacementView } from './placement';

function bench() {
  const coordination = new MemoryCoordination();
  const time = new ManualTime();
  const random = { below: () => 0, bytes: (length: number) => Buffer.alloc(length) };
  return { coordination, time, ports: { coordination, timers: time, random, log: silentLog } };
}

const cluster = { clusterId: 'c', shardCount: 2, hash: 'murmur3' };
const placement = (shard: number) => ({
  shard,
  version: 1,
  members: [{ replicaId: 1, nodeId: 's1', incarnation: 'aa' }],
});

describe('PlacementView', () => {
  it('is founded only once the record and every placement are there', async () => {
    const { coordination, time, ports } = bench();
    const view = new PlacementView(ports);
    const founded = view.whenFounded();
    await time.settle();
    coordination.put(clusterKey(), clusterCodec.encode(cluster));
    coordination.put(placementKey(1), placementCodec.encode(placement(1)));
    await time.settle();
    expect(view.founded()).toBeUndefined();
    coordination.put(placementKey(0), placementCodec.encode(placement(0)));
    expect(await time.until(founded)).toEqual({ cluster, placements: [placement(0), placement(1)] });
  });

  it('names the damaged key and field', async () => {
    const { coordination, time, ports } = bench();
    coordination.put(clusterKey(), Buffer.from('{"clusterId":"c","shardCount":0,"hash":"x"}'));
    const view = new PlacementView(ports);
    await time.settle();
    expect(() => view.cluster).toThrow(SynodError);
    expect(() => view.cluster).toThrow(/synod\/cluster.*shardCount/);
  });
});

it('keeps the oracle bound exact beyond 2^53', () => {
  const record = { holder: 'h', bound: 0xffff_ffff_ffff_ffffn };
  expect(oracleCodec.decode({ key: oracleKey(), value: oracleCodec.encode(record) })).toEqual(record);
});
