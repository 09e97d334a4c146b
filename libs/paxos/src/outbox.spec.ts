import { Outbox } from './outbox';
import { ballot } from './testing/values';

describe('Outbox', () => {
  it('returns one frozen object for every step without effects', () => {
    const outbox = new Outbox();
    const effects = outbox.take();
    expect(outbox.take()).toBe(effects);
    expect(Object.isFrozen(effects) && Object.values(effects).every((list) => Object.isFrozen(list))).toBe(true);
  });

  it('never touches effects that it has given away', () => {
    const outbox = new Outbox();
    outbox.sendNow(2, { kind: 'probe', ballot: ballot('1.1') });
    outbox.persist({ kind: 'promised', ballot: ballot('1.1') });
    const effects = outbox.take();
    outbox.sendNow(3, { kind: 'probe', ballot: ballot('1.1') });
    outbox.take();
    expect(effects.sendNow).toHaveLength(1);
    expect(effects.persist).toEqual([{ kind: 'promised', ballot: ballot('1.1') }]);
    expect(effects.send).toHaveLength(0);
  });

  it('reports a rare state once per step', () => {
    const outbox = new Outbox();
    outbox.reached('paxos.hole-filled');
    outbox.reached('paxos.hole-filled');
    expect(outbox.take().reached).toEqual(['paxos.hole-filled']);
  });
});
