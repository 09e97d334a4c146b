import type { Timers } from '@synod/runtime';
import { EtcdError } from '../state/errors';
import type { ServedMember } from './member';

/** Without a leader for so many looks in a row, an election time-out apart, it is lost, not changing. (etcd's `maxNoLeaderCnt`.) */
const LOOKS_MAX = 3;

/**
 * Runs the work of a stream whose client asked for a member with a leader, and ends it with "no leader" when there has been none for
 * as long as it takes to elect one, and again.
 * Source: etcd, server/etcdserver/api/v3rpc/interceptor.go, `monitorLeader`.
 */
export function whileLed<T>(member: ServedMember, timers: Timers, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    let missing = 0;
    let cancel = (): void => undefined;
    const look = (): void => {
      missing = member.host.hasLeader ? 0 : missing + 1;
      if (missing === LOOKS_MAX) reject(new EtcdError('no-leader'));
      else cancel = timers.after(member.host.electionTimeoutUs, look);
    };
    look();
    void work.finally(() => cancel()).then(resolve, reject);
  });
}
