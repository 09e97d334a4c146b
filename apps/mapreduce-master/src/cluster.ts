import { SynodError } from '@synod/runtime';
import type { SnapshotStore } from './input-plan';

/** The store of a master that belongs to no cluster. */
export const noStore: SnapshotStore = {
  openSnapshot: () => Promise.reject(standalone()),
  rows: () => {
    throw standalone();
  },
};

function standalone(): SynodError {
  return new SynodError(
    'failed-precondition',
    'this master was started without --consensus, so there is no store to read',
  );
}
