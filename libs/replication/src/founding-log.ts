import type { Instance } from '@synod/paxos';
import type { Disk } from '@synod/runtime';
import type { Founding } from './api';
import { NodeLog } from './node-log';

/** Large enough for what is written here. */
const SEGMENT_BYTES = 1 << 20;

/**
 * Writes the log of a replica whose state lies in its store already, for those who make data folders without a running host: the founding,
 * and that the log begins behind the state, so that a member that comes later with nothing is handed the state and not an empty log.
 * @param through the state counts as that after this instance, in the store too (`writeGroupState`)
 */
export async function writeFoundingLog(
  disk: Disk,
  folder: string,
  { group, members }: Founding,
  through: Instance,
): Promise<void> {
  const log = await NodeLog.open({ disk, folder, segmentBytes: SEGMENT_BYTES, onRecord: () => undefined });
  await log.append([
    { group, record: { kind: 'founded', members } },
    { group, record: { kind: 'truncated', through } },
  ]);
  await log.close();
}
