import type { ServiceHandlers } from '@synod/rpc';
import { EtcdError } from '../state/errors';
import { unimplemented, type ServedMember } from './member';

/** The etcd release whose API this is; clients switch features by it. */
export const ETCD_API_VERSION = '3.6.0';

/** @param storeBytes size of the node's store on disk */
export function maintenanceService(
  member: ServedMember,
  storeBytes: () => number,
): ServiceHandlers<'etcdserverpb.Maintenance'> {
  const { header, host } = member;
  return {
    Status: (_, context) =>
      member.answer(context, () => {
        const { leader, promised, chosenThrough, appliedThrough } = host.group.status();
        const leading = member.node.members.find(({ nodeId }) => nodeId === leader);
        const dbSize = String(storeBytes());
        return {
          header: header(),
          version: ETCD_API_VERSION,
          storageVersion: ETCD_API_VERSION,
          dbSize,
          dbSizeInUse: dbSize,
          leader: leading === undefined ? '0' : member.numberOf(leading).toString(),
          raftIndex: String(chosenThrough),
          raftAppliedIndex: String(appliedThrough),
          raftTerm: String(promised.round),
          errors: leader === undefined ? [new EtcdError('no-leader').message] : [],
          isLearner: member.node.members.some((each) => each.learner && member.numberOf(each) === member.number),
        };
      }),
    Alarm: ({ action }, context) =>
      member.answer(context, () => {
        if (action === 'ACTIVATE') unimplemented('alarms cannot be set by hand in this release')();
        // None is ever raised here, so there is none to list or to end.
        return { header: header(), alarms: [] };
      }),
    Defragment: unimplemented('the store uses its freed pages again by itself: there is nothing to defragment'),
    Hash: unimplemented('hashes of the store are not offered in this release'),
    HashKV: unimplemented('hashes of the store are not offered in this release'),
    Snapshot: unimplemented(
      'snapshots are not offered in this release; stop the whole cluster and copy all its data folders',
    ),
    MoveLeader: ({ targetID }, context) =>
      member.answer(context, async () => {
        if (!host.isLeader) throw new EtcdError('not-leader');
        const target = member.find(targetID)?.nodeId;
        if (target === undefined) throw new EtcdError('bad-leader-transferee');
        await host.moveLeader(target);
        return { header: header() };
      }),
    Downgrade: unimplemented('a downgrade is a matter of starting the older release; see the changelog'),
  };
}
