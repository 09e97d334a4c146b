import type { etcdserverpb } from '@synod/contracts';
import type { ServiceHandlers } from '@synod/rpc';
import type { NodeId } from '@synod/replication';
import type { ConsensusNode } from '../node';
import { unimplemented, type ServedMember } from './member';

const FIXED = 'the members of a Synod cluster are fixed at its founding in this release';

export function clusterService(member: ServedMember): ServiceHandlers<'etcdserverpb.Cluster'> {
  return {
    MemberList: ({ linearizable }, context) =>
      member.answer(context, async () => {
        if (linearizable) await member.host.readBarrier();
        return { header: member.header(), members: listMembers(member) };
      }),
    MemberAdd: unimplemented(FIXED),
    MemberRemove: unimplemented(FIXED),
    MemberUpdate: unimplemented(FIXED),
    MemberPromote: unimplemented(FIXED),
  };
}

/** Where clients reach a member is known of those that run, and of those that have run here. */
function listMembers(member: ServedMember): etcdserverpb.Member[] {
  const { node } = member;
  return node.founding.members.map(({ nodeId }) => ({
    ID: member.numberOf(nodeId).toString(),
    name: nodeId,
    peerURLs: peerUrls(node, nodeId),
    clientURLs: [...node.clientUrls(nodeId)],
    isLearner: false,
  }));
}

function peerUrls(node: ConsensusNode, nodeId: NodeId): string[] {
  const address = node.peerAddress(nodeId);
  return address === undefined ? [] : [`${node.peerScheme}://${address}`];
}
