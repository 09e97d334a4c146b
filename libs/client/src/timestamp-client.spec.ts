import { MemoryCluster, ORACLE_NODES } from './doubles/memory-cluster';

const ORACLE = '/synod.consensus.v1.TimestampOracle/Exchange';

describe('TimestampClient', () => {
  it('lets everything that asked in one turn share a request, and what comes meanwhile the next', async () => {
    const cluster = new MemoryCluster();
    const { timestamps } = cluster.client();
    const counts: number[] = [];
    cluster.network.fate = ({ protocol, direction, message }) => {
      if (protocol === ORACLE && direction === 'up') counts.push((message as { body: { count: number } }).body.count);
      return 'delivered';
    };
    const first = [timestamps.next(), timestamps.next(5), timestamps.next()];
    await cluster.time.advance(100);
    const later = [timestamps.next(), timestamps.next()];
    const all = await cluster.time.until(Promise.all([...first, ...later]));
    expect(counts).toEqual([7, 2]);
    expect(all[1]! - all[0]!).toBe(1n);
    expect(all[2]! - all[1]!).toBe(5n);
    expect(new Set(all).size).toBe(5);
  });

  // Invariant `timestamps-follow-their-request`.
  it('never serves a caller from a request that was sent before it called', async () => {
    const cluster = new MemoryCluster();
    const { timestamps } = cluster.client();
    const early = timestamps.next();
    await cluster.time.advance(1_000); // On its way: the oracle has answered, the answer has not arrived.
    const issuedElsewhere = cluster.nextTs();
    const late = timestamps.next();
    expect(await cluster.time.until(late)).toBeGreaterThan(issuedElsewhere);
    expect(await early).toBeLessThan(issuedElsewhere);
  });

  it('follows the hint to the leader, and finds another one after its death', async () => {
    const cluster = new MemoryCluster();
    const { timestamps } = cluster.client();
    cluster.oracleLeader = ORACLE_NODES[2];
    await cluster.time.until(timestamps.next());
    cluster.network.kill(ORACLE_NODES[2]);
    cluster.oracleLeader = ORACLE_NODES[1];
    await expect(cluster.time.until(timestamps.next(), 1_000_000)).resolves.toBeGreaterThan(0n);
  });

  it('reports a timestamp that never arrived as unavailable: nothing happened', async () => {
    const cluster = new MemoryCluster();
    const { timestamps } = cluster.client();
    cluster.network.fate = ({ direction }) => (direction === 'down' ? 'lost' : 'delivered');
    await expect(cluster.time.until(timestamps.next())).rejects.toMatchObject({ kind: 'unavailable' });
  });
});
