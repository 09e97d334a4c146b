import { Patience } from './patience';

it('repeats at intervals and gives up after a time without progress', () => {
  const patience = new Patience({ retransmitTicks: 2, electionTicks: 5 });
  expect([1, 2, 3, 4, 5].map(() => patience.tick())).toEqual(['wait', 'repeat', 'wait', 'repeat', 'give-up']);
  patience.progressed();
  expect([1, 2, 3, 4, 5].map(() => patience.tick())).toEqual(['wait', 'repeat', 'wait', 'repeat', 'give-up']);
});
