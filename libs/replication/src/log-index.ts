import type { Instance } from '@synod/paxos';
import type { GroupId } from './api';
import type { GroupRecord } from './log-records';

/**
 * Which groups have records in which segment of the log, and up to which instance: what has to be so before a segment may go.
 * Small: an entry per segment and group, whatever the number of records.
 */
export class LogIndex {
  private readonly segments = new Map<number, Map<GroupId, Instance>>();
  private readonly starts = new Map<GroupId, Instance>();

  note(segment: number, group: GroupId, record: GroupRecord): void {
    let groups = this.segments.get(segment);
    if (groups === undefined) this.segments.set(segment, (groups = new Map<GroupId, Instance>()));
    groups.set(group, Math.max(groups.get(group) ?? 0, instanceOf(record)));
    if (record.kind === 'truncated') this.starts.set(group, Math.max(this.startOf(group), record.through));
  }

  /** The log may lack records of a group up to this instance. */
  startOf(group: GroupId): Instance {
    return this.starts.get(group) ?? 0;
  }

  /** The groups with records in the segments before one, each with the highest instance of a vote or learned value there; 0 for none. */
  before(segment: number): Map<GroupId, Instance> {
    const highest = new Map<GroupId, Instance>();
    for (const [number, groups] of this.segments) {
      if (number >= segment) continue;
      for (const [group, instance] of groups) highest.set(group, Math.max(highest.get(group) ?? 0, instance));
    }
    return highest;
  }

  dropBefore(segment: number): void {
    for (const number of this.segments.keys()) if (number < segment) this.segments.delete(number);
  }
}

/** Records of hard state count for none: they are said again whatever they say. */
function instanceOf(record: GroupRecord): Instance {
  switch (record.kind) {
    case 'voted':
    case 'kept':
    case 'learned':
      return record.instance;
    case 'founded':
    case 'promised':
    case 'granted':
    case 'truncated':
    case 'destroyed':
      return 0;
  }
}
