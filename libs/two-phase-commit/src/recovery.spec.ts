import { recover } from './recovery';

const found = { txn: { id: 't', anchor: 0 }, attempt: 2, priority: 5n };

it('does what the record says, expired or not', () => {
  const record = { state: 'committed', attempt: 2, commitTs: 9n } as const;
  expect(recover(found, record, false)).toEqual({ kind: 'resolve', outcome: record });
  expect(recover(found, { state: 'aborted', attempt: 3 }, true)).toEqual({
    kind: 'resolve',
    outcome: { state: 'aborted', attempt: 3 },
  });
});

it('passes on the record itself when another attempt committed', () => {
  const record = { state: 'committed', attempt: 1, commitTs: 9n } as const;
  expect(recover(found, record, false)).toEqual({ kind: 'resolve', outcome: record });
});

it('waits for a coordinator that may live', () => {
  expect(recover(found, { state: 'none' }, false)).toEqual({ kind: 'wait' });
  expect(recover(found, { state: 'aborted', attempt: 1 }, false)).toEqual({ kind: 'wait' });
});

it('only proposes to abort what has expired: the record decides', () => {
  const step = recover(found, { state: 'none' }, true);
  expect(step).toEqual({ kind: 'decide', proposal: { state: 'aborted', attempt: 2 } });
});
