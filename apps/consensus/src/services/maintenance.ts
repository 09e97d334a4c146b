import type { etcdserverpb } from '@synod/contracts';
import type { ServiceHandlers } from '@synod/rpc';
import { SynodError } from '@synod/runtime';
import { EtcdError } from '../state/errors';
import { hashHistory, hashState } from '../snapshot-hash';
import type { Alarm } from '../state/requests';
import { ETCD_API_VERSION } from './api-version';
import { callerOf } from './caller-of';
import type { ServedMember } from './member';
import { streamSnapshot } from './snapshot-stream';

export function maintenanceService(member: ServedMember): ServiceHandlers<'etcdserverpb.Maintenance'> {
  const { header, host } = member;
  return {
    Status: (_, context) => member.answer(context, () => statusOf(member)),
    Alarm: ({ action, memberID, alarm }, context) =>
      member.answer(context, async () => {
        const type = ALARM_TYPES[alarm];
        // A number that the contract does not have is not taken for the nearest that it has: of an action that would be to clear alarms.
        if (type === undefined || !ALARM_ACTIONS.has(action)) {
          throw new SynodError('invalid-argument', 'an alarm has a type or an action that this release does not know');
        }
        if (action === 'GET') {
          const alarms = await host.listAlarms();
          return {
            header: header(),
            alarms: alarms.filter((each) => alarm === 'NONE' || each.type === type).map(encode),
          };
        }
        const change = { member: BigInt(memberID), type, automatic: false };
        const whole = { action: action === 'ACTIVATE' ? ('raise' as const) : ('clear' as const), ...change };
        const result = await host.changeAlarm(whole, callerOf(context));
        return { header: header(result.revision), alarms: result.alarms.map(encode) };
      }),
    // The store uses its freed pages again by itself, and the quota counts pages in use: there is nothing that it could give back.
    Defragment: (_, context) => member.answer(context, () => ({ header: header() })),
    Hash: (_, context) =>
      member.answer(context, async () => {
        const { revision, hash } = await host.snapshots.with((snapshot) => hashState(snapshot));
        return { header: header(revision), hash };
      }),
    HashKV: ({ revision: asked }, context) =>
      member.answer(context, async () => {
        const result = await host.snapshots.with((snapshot) => hashHistory(snapshot, BigInt(asked)));
        return {
          header: header(result.revision),
          hash: result.hash,
          compactRevision: result.compacted.toString(),
          hashRevision: result.hashRevision.toString(),
        };
      }),
    Snapshot: (_, context) => streamSnapshot(member, context),
    MoveLeader: ({ targetID }, context) =>
      member.answer(context, async () => {
        if (!host.isLeader) throw new EtcdError('not-leader');
        const target = member.find(targetID)?.nodeId;
        if (target === undefined) throw new EtcdError('bad-leader-transferee');
        await host.moveLeader(target);
        return { header: header() };
      }),
    Downgrade: ({ action, version }, context) =>
      member.answer(context, () => {
        // There is one version of the formats: none to go down to, and never a downgrade on its way.
        if (action === 'CANCEL') throw new EtcdError('no-downgrade');
        throw new EtcdError(/^\d+\.\d+(\.\d+)?$/.test(version) ? 'downgrade-version' : 'downgrade-version-format');
      }),
  };
}

function statusOf(member: ServedMember): etcdserverpb.StatusResponse {
  const { header, host } = member;
  const { leader, promised, chosenThrough, appliedThrough } = host.group.status();
  const stored = host.space?.stored;
  const leading = member.node.members.find(({ nodeId }) => nodeId === leader);
  return {
    header: header(),
    version: ETCD_API_VERSION,
    storageVersion: ETCD_API_VERSION,
    dbSize: String(stored?.fileBytes ?? 0),
    dbSizeInUse: String(stored?.inUseBytes ?? 0),
    dbSizeQuota: quotaOf(host.space?.quotaBytes),
    leader: leading === undefined ? '0' : member.numberOf(leading).toString(),
    raftIndex: String(chosenThrough),
    raftAppliedIndex: String(appliedThrough),
    raftTerm: String(promised.round),
    errors: [...(leader === undefined ? [new EtcdError('no-leader').message] : []), ...host.alarms.map(describe)],
    isLearner: member.learns,
  };
}

/** 0 stands for none. */
function quotaOf(bytes = Infinity): string {
  return String(bytes === Infinity ? 0 : bytes);
}

const ALARM_TYPES: Readonly<Record<string, Alarm['type']>> = {
  NONE: 'none',
  NOSPACE: 'no-space',
  CORRUPT: 'corrupt',
};
const ALARM_ACTIONS: ReadonlySet<string> = new Set(['GET', 'ACTIVATE', 'DEACTIVATE']);
const ALARM_NAMES = { none: 'NONE', 'no-space': 'NOSPACE', corrupt: 'CORRUPT' } as const;

function encode({ member, type }: Alarm): etcdserverpb.AlarmMember {
  return { memberID: member.toString(), alarm: ALARM_NAMES[type] };
}

/** In the words of etcd's Status: a message as text, without the fields that are zero. */
function describe({ member, type }: Alarm): string {
  return `${member === 0n ? '' : `memberID:${member} `}${type === 'none' ? '' : `alarm:${ALARM_NAMES[type]} `}`;
}
