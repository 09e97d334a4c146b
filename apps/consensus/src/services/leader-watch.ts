import type { Timers } from '@synod/runtime';
import { EtcdError } from '../state/errors';
import type { ServedMember } from './member';

/** How often a stream that wants a leader looks for one. */
const LOOK_US = 500_000;
/** Without one for so many looks in a row the leader is lost, not changing. */
const LOOKS_MAX = 6;

/**
 * Runs the work of a stream whose client asked for a member with a leader, and ends it with "no leader" when there has been none for
 * three seconds.
 */
export function whileLed<T>(member: ServedMember, timers: Timers, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    let missing = 0;
    let cancel = (): void => undefined;
    const look = (): void => {
      missing = member.host.hasLeader ? 0 : missing + 1;
      if (missing === LOOKS_MAX) reject(new EtcdError('no-leader'));
      else cancel = timers.after(LOOK_US, look);
    };
    look();
    void work.finally(() => cancel()).then(resolve, reject);
  });
}
