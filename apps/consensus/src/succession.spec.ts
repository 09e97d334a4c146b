import { Succession, type Place } from './succession';
import { ClusterBench } from './testing/cluster-bench';
import { put } from './testing/state-bench';

const READS_MAX = 20;
const QUEUE = Buffer.from('queue/');

async function queueOf(bench: ClusterBench): Promise<Succession> {
  await bench.lead('n1');
  return new Succession(bench.host, QUEUE, 'client');
}

async function enlisted(bench: ClusterBench, queue: Succession): Promise<Place> {
  const { id } = await bench.time.until(bench.host.leases.grant(0n, 600n));
  return bench.time.until(queue.enlist(id, Buffer.from(`of ${id}`)));
}

/** @returns how many reads there were since, which are so many at most: whoever reads without a pause would never let time go on */
function countReads({ host }: ClusterBench): () => number {
  const range = host.range.bind(host);
  let reads = 0;
  jest.spyOn(host, 'range').mockImplementation((...request) => {
    if (++reads > READS_MAX) throw new Error(`more than ${READS_MAX} reads`);
    return range(...request);
  });
  return () => reads;
}

/** Everything so far is the past, and forgotten. */
async function compact(bench: ClusterBench): Promise<void> {
  await bench.time.until(bench.host.put(put('later', '1'), 'client'));
  const { revision } = await bench.time.until(bench.host.put(put('later', '2'), 'client'));
  await bench.time.until(bench.host.compact(revision, false));
}

describe('whoever waits in a queue', () => {
  it('reads nothing until something changes, also when its place lies before a compaction', async () => {
    const bench = new ClusterBench(['n1', 'n2', 'n3']);
    const queue = await queueOf(bench);
    const [first, second] = [await enlisted(bench, queue), await enlisted(bench, queue)];
    await compact(bench);
    const reads = countReads(bench);
    const granted = queue.waitForTurn(second, new AbortController().signal);
    await bench.time.advance(1_000_000);
    const before = reads();
    await bench.time.advance(10_000_000);
    expect(reads()).toBe(before);
    await bench.time.until(queue.leave(first));
    expect(await bench.time.until(granted)).toBeGreaterThan(second.createRevision);
  });

  it('is given a revision above that of whoever was ahead, also when both ask again', async () => {
    const bench = new ClusterBench(['n1', 'n2', 'n3']);
    const queue = await queueOf(bench);
    const places = [await enlisted(bench, queue), await enlisted(bench, queue), await enlisted(bench, queue)];
    const given: bigint[] = [];
    for (const place of places) {
      const turn = (): Promise<bigint> => bench.time.until(queue.waitForTurn(place, new AbortController().signal));
      const first = await turn();
      await bench.time.until(bench.host.put(put('unrelated', '1'), 'client'));
      const again = await turn();
      expect(first).toBeGreaterThan(given.at(-1) ?? 0n);
      given.push(again);
      await bench.time.until(queue.leave(place));
    }
  });

  it('sees each owner once, also when that one came before a compaction', async () => {
    const bench = new ClusterBench(['n1', 'n2', 'n3']);
    const queue = await queueOf(bench);
    const giveUp = new AbortController();
    const seen: string[] = [];
    countReads(bench);
    const observing = (async () => {
      for await (const { entry } of queue.owners(giveUp.signal)) seen.push(entry.value.toString());
    })();
    const [first, second] = [await enlisted(bench, queue), await enlisted(bench, queue)];
    await compact(bench);
    await bench.time.advance(10_000_000);
    await bench.time.until(queue.leave(first));
    await bench.time.advance(10_000_000);
    expect(seen).toEqual([`of ${first.lease}`, `of ${second.lease}`]);
    giveUp.abort(new Error('enough'));
    await expect(observing).rejects.toThrow('enough');
  });
});
