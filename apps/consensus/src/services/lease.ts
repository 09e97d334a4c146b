import type { ServiceHandlers } from '@synod/rpc';
import { callerOf } from './caller-of';
import { whileLed } from './leader-watch';
import { wantsLeader, type ServedMember } from './member';

export function leaseService(member: ServedMember): ServiceHandlers<'etcdserverpb.Lease'> {
  const { header, host } = member;
  return {
    LeaseGrant: ({ ID, TTL }, context) =>
      member.answer(context, async () => {
        const { revision, id, ttlSeconds } = await host.leases.grant(BigInt(ID), BigInt(TTL), callerOf(context));
        return { header: header(revision), ID: id.toString(), TTL: ttlSeconds.toString() };
      }),
    LeaseRevoke: ({ ID }, context) =>
      member.answer(context, async () => ({ header: header(await host.leases.revoke(BigInt(ID), callerOf(context))) })),
    LeaseKeepAlive: (requests, responses, context) =>
      member.answer(context, async () => {
        const serving = async (): Promise<void> => {
          for await (const { ID } of requests) {
            // A lease that is gone is answered with a time to live of 0, which clients take as its end.
            const { revision, ttlSeconds } = await host.leases.keepAlive(BigInt(ID), callerOf(context));
            const response = { header: header(revision), ID, TTL: ttlSeconds.toString() };
            while (!context.aborted && !responses.send(response)) await responses.drained();
          }
        };
        await (wantsLeader(context) ? whileLed(member, member.node.ports.timers, serving()) : serving());
      }),
    LeaseTimeToLive: ({ ID, keys }, context) =>
      member.answer(context, async () => {
        const lease = await host.leases.timeToLive(BigInt(ID), keys, callerOf(context));
        return {
          header: header(lease.revision),
          ID,
          TTL: lease.remainingSeconds.toString(),
          grantedTTL: lease.grantedSeconds.toString(),
          keys: keys ? [...lease.keys] : [],
        };
      }),
    LeaseLeases: (_, context) =>
      member.answer(context, async () => {
        const leases = (await host.leases.list(callerOf(context))).map((id) => ({ ID: id.toString() }));
        return { header: header(), leases };
      }),
  };
}
