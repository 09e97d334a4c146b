import type { Replica } from '@synod/paxos';
import type { GroupConfiguration, GroupMember, GroupStatus, Member, NodeId } from './api';
import type { HostedGroup } from './hosted-group';

/** A group as it is now. Every answer to a client shows some of it: what takes more than a look is found out when it is asked for. */
export class HostedGroupStatus implements GroupStatus {
  readonly group: GroupStatus['group'];
  readonly replicaId: GroupStatus['replicaId'];
  readonly role: GroupStatus['role'];
  readonly promised: GroupStatus['promised'];
  readonly chosenThrough: GroupStatus['chosenThrough'];
  readonly appliedThrough: GroupStatus['appliedThrough'];
  readonly truncatedThrough: GroupStatus['truncatedThrough'];
  private readonly leaderBallot: Replica['leaderBallot'];
  private readonly configuration: GroupConfiguration;

  constructor(
    private readonly hosted: Pick<HostedGroup<unknown>, 'founding' | 'self' | 'replica' | 'state' | 'nodeOf'>,
  ) {
    const { founding, self, replica, state } = hosted;
    this.group = founding.group;
    this.replicaId = self.replicaId;
    this.role = replica.role;
    this.promised = replica.promised;
    this.chosenThrough = replica.chosenThrough;
    this.appliedThrough = state.appliedThrough;
    this.truncatedThrough = replica.truncatedThrough;
    this.leaderBallot = replica.leaderBallot;
    this.configuration = replica.configuration;
  }

  get leader(): NodeId | undefined {
    return this.leaderBallot && this.hosted.nodeOf(this.leaderBallot.replica);
  }

  get members(): readonly Member[] {
    return this.configuration.members.filter(isTaken);
  }
}

function isTaken(member: GroupMember): member is GroupMember & Member {
  return member.nodeId !== undefined && member.incarnation !== undefined;
}
