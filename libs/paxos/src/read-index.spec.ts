import { Members } from './members';
import { Outbox } from './outbox';
import { ReadIndex } from './read-index';
import { Requests } from './requests';
import { ballot } from './testing/values';

describe('ReadIndex', () => {
  const outbox = new Outbox();
  let requests: Requests;
  let reads: ReadIndex;

  beforeEach(() => {
    outbox.take();
    requests = new Requests({ queueMax: 3 }, outbox);
    reads = new ReadIndex(
      ballot('2.1'),
      { current: new Members(1, [1, 2, 3, 4, 5]) },
      { retransmitTicks: 2 },
      requests,
      outbox,
    );
  });

  it('serves reads at the watermark of the time when their round was sent', () => {
    requests.read(7);
    requests.read(8);
    reads.begin(4);
    reads.begin(5);
    expect(outbox.take().sendNow.map(({ to }) => to)).toEqual([2, 3, 4, 5]);
    expect(reads.confirmed(2, 1)).toBe(false);
    expect(reads.confirmed(2, 1)).toBe(false);
    expect(outbox.take().settled).toEqual([]);
    expect(reads.confirmed(5, 1)).toBe(true);
    expect(outbox.take().settled).toEqual([7, 8].map((token) => ({ token, outcome: 'read-ready', instance: 4 })));
  });

  // A round sent before the read began proves nothing about a leader elected in between.
  it('lets a read wait for the next round, and counts no answer to another round for it', () => {
    requests.read(7);
    reads.begin(4);
    requests.read(8);
    reads.begin(4);
    reads.confirmed(2, 1);
    reads.confirmed(3, 1);
    reads.begin(6);
    expect(outbox.take()).toMatchObject({
      settled: [{ token: 7, outcome: 'read-ready', instance: 4 }],
      reached: ['paxos.read-waited-for-next-round'],
    });
    reads.confirmed(4, 1);
    reads.confirmed(5, 1);
    expect(outbox.take().settled).toEqual([]);
    reads.confirmed(2, 2);
    reads.confirmed(3, 2);
    expect(outbox.take().settled).toEqual([{ token: 8, outcome: 'read-ready', instance: 6 }]);
  });

  it('asks again those who have not answered', () => {
    requests.read(7);
    reads.begin(4);
    reads.confirmed(3, 1);
    outbox.take();
    reads.tick();
    expect(outbox.take().sendNow).toEqual([]);
    reads.tick();
    expect(outbox.take().sendNow.map(({ to }) => to)).toEqual([2, 4, 5]);
  });

  it('refuses what waits when leadership is lost', () => {
    requests.read(7);
    reads.begin(4);
    requests.read(8);
    reads.refuse();
    requests.refuse();
    expect(outbox.take().settled).toEqual([7, 8].map((token) => ({ token, outcome: 'not-leader' })));
    reads.confirmed(2, 1);
    reads.confirmed(3, 1);
    expect(outbox.take().settled).toEqual([]);
  });

  it('is alone sure at once', () => {
    const alone = new ReadIndex(
      ballot('2.1'),
      { current: new Members(1, [1]) },
      { retransmitTicks: 2 },
      requests,
      outbox,
    );
    requests.read(7);
    alone.begin(4);
    expect(outbox.take().settled).toEqual([{ token: 7, outcome: 'read-ready', instance: 4 }]);
  });
});
