import type { StoreTransaction } from '@synod/runtime';
import type { EtcdErrorName } from './errors';
import type { KeySpace } from './key-space';
import type { Alarm, AlarmChange, Command, OperationRequest } from './requests';
import { RESERVED } from './reserved';
import type { ApplyResult } from './results';
import { spanIncludes } from './span';

/**
 * Raises or clears an alarm. Alarms are replicated, so that every member refuses the same requests at the same place in the log.
 * Source: etcd, server/etcdserver/api/v3alarm and apply.go (`applierV3Capped`, `applierV3Corrupt`).
 */
export function changeAlarm(keySpace: KeySpace, transaction: StoreTransaction, change: AlarmChange): ApplyResult {
  const meta = keySpace.meta(transaction);
  const present = meta.alarms.find((alarm) => isSame(alarm, change));
  const { member, type, automatic } = change;
  const alarm: Alarm = present ?? { member, type, automatic };
  if (change.action === 'raise') {
    if (present === undefined) keySpace.setMeta(transaction, { ...meta, alarms: [...meta.alarms, alarm] });
    return { kind: 'alarms', revision: meta.revision, alarms: [alarm] };
  }
  // What a member raised by itself it may clear by itself; what an operator raised stays until an operator clears it.
  if (present === undefined || (automatic && !present.automatic)) {
    return { kind: 'alarms', revision: meta.revision, alarms: [] };
  }
  keySpace.setMeta(transaction, { ...meta, alarms: meta.alarms.filter((each) => each !== present) });
  return { kind: 'alarms', revision: meta.revision, alarms: [present] };
}

/**
 * Why a command is refused while alarms are raised, if it is. Invariant `alarms-refuse-by-the-log`: a function of the replicated state
 * alone. Without space nothing may be added; deletions and compaction, which make room, go on, and so do the cluster's own few keys.
 * With data that differ between members nothing may change at all.
 */
export function refuseAlarmed(alarms: readonly Alarm[], command: Command): EtcdErrorName | undefined {
  if (alarms.length === 0) return undefined;
  switch (command.kind) {
    case 'put':
    case 'txn':
      if (isRaised(alarms, 'corrupt')) return 'corrupt';
      return isRaised(alarms, 'no-space') && addsData(command) ? 'no-space' : undefined;
    case 'delete-range':
    case 'compact':
    case 'lease-grant':
    case 'lease-revoke':
      return isRaised(alarms, 'corrupt') ? 'corrupt' : undefined;
    default:
      return undefined;
  }
}

export function isRaised(alarms: readonly Alarm[], type: Alarm['type']): boolean {
  return alarms.some((alarm) => alarm.type === type);
}

/** Whether an operation may put a key that is not the cluster's own, on any path. */
export function addsData(operation: OperationRequest): boolean {
  switch (operation.kind) {
    case 'put':
      return !spanIncludes(RESERVED, operation.key);
    case 'txn':
      return [...operation.success, ...operation.failure].some(addsData);
    case 'range':
    case 'delete-range':
      return false;
  }
}

function isSame(a: Pick<Alarm, 'member' | 'type'>, b: Pick<Alarm, 'member' | 'type'>): boolean {
  return a.member === b.member && a.type === b.type;
}
