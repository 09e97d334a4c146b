import { StatusError, status, type ServiceHandlers } from '@synod/rpc';
import type { Caller } from '../auth/caller';
import { deleteRangeRequest, type LeaseId } from '../state/requests';
import { PlaceLost, Succession } from '../succession';
import { callerOf } from './caller-of';
import type { ServedMember } from './member';

/** Of the lease that a lock gets whose caller brought none. (etcd: the default of its sessions.) */
export const SESSION_TTL_SECONDS = 60n;

const POINT = Buffer.alloc(0);

/**
 * Locks by name. The key that Lock returns is the ownership: it goes with its lease. The revision in the answer's header is the fencing
 * token: the key is there at it and those of the owners before are gone, so it grows with every owner (`fencing-revision-grows`, which is
 * looked after where turns are waited for). Hand it to a third party that must refuse owners of the past.
 */
export function lockService(member: ServedMember): ServiceHandlers<'v3lockpb.Lock'> {
  const { header, host } = member;
  return {
    Lock: ({ name, lease }, context) =>
      member.answer(context, async () => {
        const caller = callerOf(context);
        const queue = new Succession(host, Buffer.concat([name, Buffer.from('/')]), caller);
        const place = await queue.enlist(await sessionLease(member, BigInt(lease), caller), POINT);
        try {
          const revision = await queue.waitForTurn(place, context.signal);
          return { header: header(revision), key: place.key };
        } catch (error) {
          // A waiter that is gone must not become the owner later.
          await queue.leave(place);
          throw error instanceof PlaceLost ? new StatusError(status.UNKNOWN, 'mutex: session is expired') : error;
        }
      }),
    Unlock: ({ key }, context) =>
      member.answer(context, async () => {
        const { revision } = await host.deleteRange(deleteRangeRequest(key, POINT), callerOf(context));
        return { header: header(revision) };
      }),
  };
}

/** The caller's lease, or a new one. */
export async function sessionLease({ host }: ServedMember, lease: LeaseId, caller: Caller): Promise<LeaseId> {
  return lease !== 0n ? lease : (await host.leases.grant(0n, SESSION_TTL_SECONDS, caller)).id;
}
