import { silentLog, type Random } from '@synod/runtime';
import { ManualTime } from './manual-time';
import { MemoryCoordination, type CallName } from './memory-coordination';
import { nodeCodec, nodeKey, type NodeRegistration } from './metadata';
import { NodeDirectory, Registration } from './registry';

const random: Random = { below: () => 0, bytes: (length) => Buffer.alloc(length) };
const s1: NodeRegistration = {
  service: 'storage-shard',
  nodeId: 's1',
  incarnation: 'aaaa',
  address: '127.0.0.1:2500',
  heldShards: 0,
};

function bench() {
  const coordination = new MemoryCoordination();
  const time = new ManualTime();
  const ports = { coordination, clock: time, timers: time, random, log: silentLog };
  return { coordination, time, ports };
}

describe('Registration', () => {
  it('announces the node under a lease and takes it off the list when it stops', async () => {
    const { coordination, time, ports } = bench();
    const registration = new Registration(ports, s1);
    registration.start();
    await time.settle();
    expect(registration.registered).toBe(true);
    const entry = coordination.get(nodeKey('storage-shard', 's1'))!;
    expect(nodeCodec.decode(entry)).toEqual(s1);
    expect([entry.lease]).toEqual(coordination.liveLeases);

    await registration.stop();
    expect(coordination.get(nodeKey('storage-shard', 's1'))).toBeUndefined();
  });

  it('does not wait for a store that no longer answers when it stops', async () => {
    const { coordination, time, ports } = bench();
    const registration = new Registration(ports, s1);
    registration.start();
    await time.settle();
    jest.spyOn(coordination, 'revokeLease').mockReturnValue(new Promise(() => undefined));
    await time.until(registration.stop(), 1_000_000);
  });

  it('announces itself again, under a new lease, after its lease was lost', async () => {
    const { coordination, time, ports } = bench();
    const registration = new Registration(ports, s1);
    registration.start();
    await time.settle();
    coordination.expire(coordination.liveLeases[0]!);
    expect(coordination.get(nodeKey('storage-shard', 's1'))).toBeUndefined();

    await time.advance(4_000_000);
    expect(coordination.get(nodeKey('storage-shard', 's1'))?.lease).toBe(coordination.liveLeases[0]);
  });

  it.each(['lost-request', 'lost-reply'] as const)(
    'gets there although the first two calls of each kind end as %s',
    async (fate) => {
      const { coordination, time, ports } = bench();
      const calls = new Map<CallName, number>();
      coordination.fate = (call) => {
        const before = calls.get(call) ?? 0;
        calls.set(call, before + 1);
        return before < 2 ? fate : 'answered';
      };
      const registration = new Registration(ports, s1);
      registration.start();
      await time.advance(10_000_000);
      expect(registration.registered).toBe(true);
    },
  );

  it('waits while another data folder holds the node id, and takes it once that one is gone', async () => {
    const { coordination, time, ports } = bench();
    new Registration(ports, s1).start();
    await time.settle();
    const second = new Registration(ports, { ...s1, incarnation: 'bbbb' });
    second.start();
    await time.advance(2_000_000);
    expect(second.registered).toBe(false);

    coordination.expire(coordination.liveLeases[0]!);
    await time.advance(500_000);
    expect(second.registered).toBe(true);
  });

  it('says again what changed about the node', async () => {
    const { coordination, time, ports } = bench();
    const registration = new Registration(ports, s1);
    registration.start();
    await time.settle();
    registration.update({ heldShards: 64 });
    await time.settle();
    expect(nodeCodec.decode(coordination.get(nodeKey('storage-shard', 's1'))!).heldShards).toBe(64);
  });
});

describe('NodeDirectory', () => {
  it('follows nodes as they come and go', async () => {
    const { coordination, time, ports } = bench();
    const directory = new NodeDirectory(ports, 'storage-shard');
    const two = directory.waitFor((nodes) => (nodes.length >= 2 ? nodes.map((node) => node.nodeId) : undefined));
    new Registration(ports, s1).start();
    new Registration(ports, { ...s1, nodeId: 's2' }).start();
    new Registration(ports, { ...s1, service: 'txn-coordinator', nodeId: 't1' }).start();
    expect(await time.until(two)).toEqual(['s1', 's2']);

    coordination.expire(coordination.get(nodeKey('storage-shard', 's1'))!.lease);
    await time.settle();
    expect(directory.nodes().map((node) => node.nodeId)).toEqual(['s2']);
    expect(directory.find('storage-shard', 's1')).toBeUndefined();
  });

  it('reads everything again when the watch fell behind compaction', async () => {
    const { coordination, time, ports } = bench();
    const directory = new NodeDirectory(ports);
    await time.settle();
    coordination.put(nodeKey('storage-shard', 's1'), nodeCodec.encode(s1));
    coordination.compact(coordination.currentRevision);
    await time.settle();
    expect(directory.nodes()).toEqual([s1]);
  });

  it('hides a damaged registration, not the others', async () => {
    const { coordination, time, ports } = bench();
    coordination.put(nodeKey('storage-shard', 's0'), Buffer.from('{"nodeId":7}'));
    coordination.put(nodeKey('storage-shard', 's1'), nodeCodec.encode(s1));
    const directory = new NodeDirectory(ports);
    await time.settle();
    expect(directory.nodes()).toEqual([s1]);
  });

  it('is ready only once it has read, and reads until it succeeds', async () => {
    const { coordination, time, ports } = bench();
    coordination.fate = () => 'lost-request';
    const directory = new NodeDirectory(ports);
    await time.advance(1_000_000);
    expect(directory.ready).toBe(false);
    coordination.fate = () => 'answered';
    await time.advance(250_000);
    expect(directory.ready).toBe(true);
  });
});
