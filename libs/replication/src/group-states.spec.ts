import { NO_BALLOT } from '@synod/paxos';
import type { StoreReader, StoreTransaction } from '@synod/runtime';
import { readGroupState, writeGroupState, type GroupState } from './group-states';

/** A store of one value. */
function reader(value: Buffer | undefined): StoreReader {
  return { get: () => value, range: () => [] };
}

describe('the state of a group', () => {
  it('is read as it was written', () => {
    const state: GroupState = {
      appliedThrough: 2 ** 40,
      snapshotThrough: 7,
      slot: 1,
      term: { round: 2 ** 31, replica: 9 },
    };
    let written: Buffer | undefined;
    const transaction = { put: (_key: Buffer, value: Buffer) => (written = value) } as unknown as StoreTransaction;
    writeGroupState(transaction, 'g', state);
    expect(readGroupState(reader(written), 'g')).toEqual(state);
  });

  it('is empty where nothing was applied', () => {
    expect(readGroupState(reader(undefined), 'g')).toEqual({
      appliedThrough: 0,
      snapshotThrough: 0,
      slot: 0,
      term: NO_BALLOT,
    });
  });

  it('is read of folders that knew less of it', () => {
    const applied = Buffer.from('000000000007', 'hex');
    expect(readGroupState(reader(applied), 'g')).toMatchObject({ appliedThrough: 7, snapshotThrough: 0, slot: 0 });
    const slot = Buffer.from('00000000000700000000000501', 'hex');
    expect(readGroupState(reader(slot), 'g')).toEqual({
      appliedThrough: 7,
      snapshotThrough: 5,
      slot: 1,
      term: NO_BALLOT,
    });
  });
});
