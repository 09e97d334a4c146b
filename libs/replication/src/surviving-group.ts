import { survivingEntries, type ReplicaRecord, type SurvivingEntry } from '@synod/paxos';
import { SynodError, type Disk, type StoreReader } from '@synod/runtime';
import { replay } from '@synod/wal';
import type { GroupId } from './api';
import { readGroupState, slotPrefix, type GroupState } from './group-states';
import { decodeGroupRecord, RECORD_KIND } from './log-records';

/** What the disk of one member holds of a group. */
export interface SurvivingGroup {
  /** Of what the store has applied. */
  readonly state: GroupState;
  /** Where that lies in the store. */
  readonly prefix: Buffer;
  /** What the log holds above it, to be applied next. */
  readonly entries: readonly SurvivingEntry[];
  /** The group had removed this member: others have gone on without it. */
  readonly removed: boolean;
}

export interface SurvivingGroupOptions {
  readonly store: StoreReader;
  readonly group: GroupId;
  /** The one that the group was added with. */
  readonly prefix: Buffer;
  /** Left out, nothing is taken from the log: where it is harmed, and the store is not. */
  readonly log?: { readonly disk: Disk; readonly folder: string };
}

/**
 * Reads a group from the disk of one member that does not run, when the others are gone for good and no leader can say what is chosen: all that the
 * member had applied, and perhaps a little more (`survivingEntries`). Of the disk it asks what a start asks.
 * @throws {SynodError} `corrupt` if the log is rotten, or does not belong to the store; `failed-precondition` if a later release wrote it
 */
export async function survivingGroup(options: SurvivingGroupOptions): Promise<SurvivingGroup> {
  const { store, group, log } = options;
  const state = readGroupState(store, group);
  const prefix = slotPrefix(options.prefix, state.slot);
  if (log === undefined) return { state, prefix, entries: [], removed: false };
  const records: ReplicaRecord[] = [];
  let isFounded = false;
  let removed = false;
  await replay({
    ...log,
    knownKinds: Object.values(RECORD_KIND),
    onRecord: ({ group: of, kind, payload }) => {
      if (of !== group) return;
      const record = decodeGroupRecord(of, kind, Buffer.from(payload));
      if (record.kind === 'founded') isFounded = true;
      else if (record.kind === 'destroyed') removed = true;
      else records.push(record);
    },
  });
  if (!isFounded) throw apart(`the log does not know of group ${group}`);
  const truncated = Math.max(0, ...records.map((record) => (record.kind === 'truncated' ? record.through : 0)));
  if (truncated > state.appliedThrough) {
    throw apart(
      `the log of group ${group} begins behind instance ${truncated}, and the store holds it only through ${state.appliedThrough}`,
    );
  }
  return { state, prefix, entries: survivingEntries(records, state), removed };
}

function apart(detail: string): SynodError {
  return new SynodError('corrupt', `log and store do not belong together: ${detail}`);
}
