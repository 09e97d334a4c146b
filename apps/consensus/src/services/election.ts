import type { MessageTypes } from '@synod/contracts';
import { StatusError, status, type CallContext, type ServiceHandlers } from '@synod/rpc';
import { deleteRangeRequest, putRequest, rangeRequest, type OperationRequest } from '../state/requests';
import type { TxnResult } from '../state/results';
import { PlaceLost, Succession } from '../succession';
import { callerOf } from './caller-of';
import { encodeEntry } from './encode';
import { sessionLease } from './lock';
import type { ServedMember } from './member';

type LeaderKey = MessageTypes['v3electionpb.LeaderKey']['output'];
type LeaderResponse = MessageTypes['v3electionpb.LeaderResponse']['input'];

const POINT = Buffer.alloc(0);

/** Elections by name: who campaigns waits to lead; the leader may proclaim a new value, and resign. Errors as in etcd's concurrency package. */
export function electionService(member: ServedMember): ServiceHandlers<'v3electionpb.Election'> {
  const { header, host } = member;
  const candidates = (name: Buffer, context: CallContext): Succession =>
    new Succession(host, Buffer.concat([name, Buffer.from('/')]), callerOf(context));
  return {
    Campaign: ({ name, lease, value }, context) =>
      member.answer(context, async () => {
        const leaseId = await sessionLease(member, BigInt(lease), callerOf(context));
        const queue = candidates(name, context);
        const place = await queue.enlist(leaseId, value);
        const leader = { name, key: place.key, rev: place.createRevision.toString(), lease: leaseId.toString() };
        try {
          // Campaigning again, with another value, goes on from the same place.
          if (place.present !== undefined && !place.present.value.equals(value)) {
            await asLeader(member, leader, [putRequest(place.key, value, { lease: leaseId })], context);
          }
          return { header: header(await queue.waitForTurn(place, context.signal)), leader };
        } catch (error) {
          await queue.leave(place);
          throw error instanceof PlaceLost ? new StatusError(status.UNKNOWN, 'election: session expired') : error;
        }
      }),
    Proclaim: ({ leader, value }, context) =>
      member.answer(context, async () => {
        const { key, lease } = required(leader);
        const put = putRequest(key, value, { lease: BigInt(lease) });
        return { header: header((await asLeader(member, required(leader), [put], context)).revision) };
      }),
    Leader: ({ name }, context) =>
      member.answer(context, async () => {
        const { entry, revision } = await candidates(name, context).owner();
        if (entry === undefined) throw new StatusError(status.UNKNOWN, 'election: no leader');
        return { header: header(revision), kv: encodeEntry(entry) };
      }),
    Observe: ({ name }, context) => observe(member, candidates(name, context), context),
    Resign: ({ leader }, context) =>
      member.answer(context, async () => {
        const { key } = required(leader);
        const result = await attempt(member, required(leader), [deleteRangeRequest(key, POINT)], context);
        return { header: header(result.revision) };
      }),
  };
}

/** Every leader and every value proclaimed, from the present one on. One that was replaced before it was seen may be missing. */
async function* observe(
  member: ServedMember,
  candidates: Succession,
  context: CallContext,
): AsyncGenerator<LeaderResponse> {
  const leaders = candidates.owners(context.signal);
  for (;;) {
    const { value: leader } = await member.answer(context, () => leaders.next());
    if (leader === undefined) return;
    yield { header: member.header(leader.revision), kv: encodeEntry(leader.entry) };
  }
}

/** Does something as the leader. @throws {StatusError} if that leadership is over */
async function asLeader(
  member: ServedMember,
  leader: LeaderKey,
  operations: readonly OperationRequest[],
  context: CallContext,
): Promise<TxnResult> {
  const result = await attempt(member, leader, operations, context);
  if (!result.succeeded) throw new StatusError(status.UNKNOWN, 'election: not leader');
  return result;
}

function attempt(
  { host }: ServedMember,
  { key, rev }: LeaderKey,
  operations: readonly OperationRequest[],
  context: CallContext,
): Promise<TxnResult> {
  return host.txn(
    {
      kind: 'txn',
      compare: [{ key, rangeEnd: POINT, target: 'create', result: 'equal', operand: BigInt(rev) }],
      success: operations,
      failure: [rangeRequest(key, POINT)],
    },
    callerOf(context),
  );
}

function required(leader: LeaderKey | null): LeaderKey {
  if (leader === null) throw new StatusError(status.INVALID_ARGUMENT, '"leader" field must be provided');
  return leader;
}
