import type { etcdserverpb } from '@synod/contracts';
import type { GroupConfiguration, GroupMember } from '@synod/replication';
import { parseAddress, type ServiceHandlers } from '@synod/rpc';
import type { MemberOperation } from '../member-changes';
import { EtcdError } from '../state/errors';
import type { ServedMember } from './member';

export function clusterService(member: ServedMember): ServiceHandlers<'etcdserverpb.Cluster'> {
  const change = async (operation: MemberOperation): Promise<GroupConfiguration> =>
    member.host.changeMembers(operation);
  /** Asks for a change of one member. @returns the members after it */
  const changeOne = async (
    number: string,
    operation: (replicaId: number) => MemberOperation,
  ): Promise<{ header: etcdserverpb.ResponseHeader; members: etcdserverpb.Member[] }> => {
    // A number that this member has not read of may be one that others have.
    if (member.find(number) === undefined) await member.host.readBarrier();
    const found = member.find(number);
    if (found === undefined) throw new EtcdError('member-not-found');
    const { members } = await change(operation(found.replicaId));
    return { header: member.header(), members: members.map((each) => encodeMember(member, each)) };
  };
  return {
    MemberList: ({ linearizable }, context) =>
      member.answer(context, async () => {
        if (linearizable) await member.host.readBarrier();
        return { header: member.header(), members: member.node.members.map((each) => encodeMember(member, each)) };
      }),
    MemberAdd: ({ peerURLs, isLearner: learner }, context) =>
      member.answer(context, async () => {
        const { members } = await change({ kind: 'add', address: addressIn(peerURLs), learner });
        const added = members.at(-1);
        if (added === undefined) throw new EtcdError('member-not-found');
        return {
          header: member.header(),
          member: encodeMember(member, added),
          members: members.map((each) => encodeMember(member, each)),
        };
      }),
    MemberRemove: ({ ID }, context) =>
      member.answer(context, () => changeOne(ID, (replicaId) => ({ kind: 'remove', replicaId }))),
    MemberUpdate: ({ ID, peerURLs }, context) =>
      member.answer(context, () =>
        changeOne(ID, (replicaId) => ({ kind: 'update', replicaId, address: addressIn(peerURLs) })),
      ),
    MemberPromote: ({ ID }, context) =>
      member.answer(context, () => changeOne(ID, (replicaId) => ({ kind: 'promote', replicaId }))),
  };
}

/** A place that no node has taken yet has no name. Where clients reach a member is known of those that run. */
function encodeMember(served: ServedMember, member: GroupMember): etcdserverpb.Member {
  const { node } = served;
  const address = node.peerAddress(member);
  return {
    ID: served.numberOf(member).toString(),
    name: member.nodeId ?? '',
    peerURLs: address === undefined ? [] : [`${node.peerScheme}://${address}`],
    clientURLs: member.nodeId === undefined ? [] : [...node.clientUrls(member.nodeId)],
    isLearner: member.learner,
  };
}

/** A member serves its peers at one place, with TLS or without as all of them do. */
function addressIn(peerUrls: readonly string[]): string {
  const [url = '', ...more] = peerUrls;
  const address = /^https?:\/\/([^/?#]+)$/.exec(url)?.[1];
  if (address === undefined || more.length > 0) throw new EtcdError('invalid-member-urls');
  try {
    parseAddress(address);
  } catch {
    throw new EtcdError('invalid-member-urls');
  }
  return address;
}
