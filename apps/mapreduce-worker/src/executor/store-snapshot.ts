import { SynodError } from '@synod/runtime';
import type { SnapshotReader } from './snapshot-reader';

export function storeSnapshot(endpoints: readonly string[]): SnapshotReader {
  throw new SynodError('unimplemented', `no client yet for ${endpoints.join(',')}`);
}
