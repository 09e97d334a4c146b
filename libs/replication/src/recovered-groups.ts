import type { ReplicaId, ReplicaRecord } from '@synod/paxos';
import type { Founding, GroupId, Member } from './api';
import type { LoggedRecord } from './node-log';

/** What the log held of a group. */
interface RecoveredGroup {
  founding: readonly Member[] | undefined;
  readonly records: ReplicaRecord[];
  /** Replicas that the group removed. */
  readonly destroyed: Set<ReplicaId>;
}

/** What the log held of the groups that are not added yet. */
export class RecoveredGroups {
  private readonly groups = new Map<GroupId, RecoveredGroup>();

  note({ group, record }: LoggedRecord): void {
    let known = this.groups.get(group);
    if (known === undefined)
      this.groups.set(group, (known = { founding: undefined, records: [], destroyed: new Set() }));
    if (record.kind === 'founded') known.founding = record.members;
    else if (record.kind === 'destroyed') known.destroyed.add(record.replicaId);
    else known.records.push(record);
  }

  get(group: GroupId): RecoveredGroup | undefined {
    return this.groups.get(group);
  }

  /** The group is added: what the log held of it is its own to keep. */
  drop(group: GroupId): void {
    this.groups.delete(group);
  }

  foundings(): Founding[] {
    return [...this.groups].flatMap(([group, { founding }]) =>
      founding === undefined ? [] : [{ group, members: founding }],
    );
  }
}
