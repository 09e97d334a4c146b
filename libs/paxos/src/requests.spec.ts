import { Outbox } from './outbox';
import { Requests } from './requests';
import { value } from './testing/values';

describe('Requests', () => {
  const outbox = new Outbox();

  it('refuses at its bound, and only then', () => {
    const requests = new Requests({ queueMax: 2 }, outbox);
    for (const token of [1, 2, 3]) requests.propose(token, value('x'));
    for (const token of [4, 5, 6]) requests.read(token);
    expect(outbox.take().settled).toEqual([3, 6].map((token) => ({ token, outcome: 'overloaded' })));
    expect(requests.firstProposal?.token).toBe(1);
    requests.takeProposal();
    expect(requests.takeReads()).toEqual([4, 5]);
    expect(requests.hasReads).toBe(false);
  });

  it('refuses for certain what has not begun', () => {
    const requests = new Requests({ queueMax: 2 }, outbox);
    requests.propose(1, value('x'));
    requests.read(2);
    requests.refuse();
    requests.refuse();
    expect(outbox.take().settled).toEqual([1, 2].map((token) => ({ token, outcome: 'not-leader' })));
  });
});
