import { CatchUp } from './catch-up';
import { Members } from './members';
import { Outbox } from './outbox';

describe('CatchUp', () => {
  const outbox = new Outbox();
  let catchUp: CatchUp;

  beforeEach(() => {
    catchUp = new CatchUp({ current: new Members(2, [1, 2, 3]) }, { retransmitTicks: 2 }, outbox);
  });

  /** @returns whom the end of a step asked for which instance */
  function asks(knownThrough: number): [number, number] | undefined {
    catchUp.ask(knownThrough);
    const [envelope] = outbox.take().sendNow;
    if (envelope?.message.kind !== 'catch-up') return undefined;
    return [envelope.to, envelope.message.firstInstance];
  }

  it('asks whoever told of what is missing, one request at a time', () => {
    expect(asks(4)).toBeUndefined();
    catchUp.want(9, 3);
    expect(asks(4)).toEqual([3, 5]);
    expect(asks(4)).toBeUndefined();
    expect(catchUp.lacks(4)).toBe(true);
  });

  it('asks on with the next page, and ends when nothing is missing', () => {
    catchUp.want(9, 3);
    asks(4);
    catchUp.replied(3, true, 9, 7);
    expect(asks(7)).toEqual([3, 8]);
    catchUp.replied(3, true, 9, 9);
    expect(asks(9)).toBeUndefined();
    expect(catchUp.lacks(9)).toBe(false);
  });

  it('asks another peer when there is no answer', () => {
    catchUp.want(9, 3);
    asks(4);
    catchUp.tick();
    expect(asks(4)).toBeUndefined();
    catchUp.tick();
    expect(asks(4)).toEqual([1, 5]);
  });

  it('asks another peer when one knows no more', () => {
    catchUp.want(9, 3);
    asks(4);
    catchUp.replied(3, true, 6, 6);
    expect(asks(6)).toEqual([1, 7]);
    catchUp.replied(1, false, 6, 6);
    expect(asks(6)).toBeUndefined(); // Not before a tick: two that know nothing must not keep each other busy.
  });
});
