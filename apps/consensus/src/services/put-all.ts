import type { etcdserverpb } from '@synod/contracts';
import type { CallContext, ServiceHandlers } from '@synod/rpc';
import { EtcdError } from '../state/errors';
import { callerOf } from './caller-of';
import { decodePut } from './decode';
import { encodePut } from './encode';
import { asStatus, type ServedMember } from './member';

type Put = Required<ServiceHandlers<'etcdserverpb.KV'>>['Put'];

/** Answers several puts as the call of each would be: what `Put` would have thrown stands in the place of the answer. */
export type PutAll = (
  puts: readonly etcdserverpb.PutRequest__Output[],
  context: CallContext,
) => Promise<readonly (etcdserverpb.PutResponse | Error)[]>;

/** Each by itself. */
export function putEach(put: Put): PutAll {
  return (puts, context) =>
    Promise.all(
      puts.map(async (each) => {
        try {
          return await put(each, context);
        } catch (error) {
          return error as Error;
        }
      }),
    );
}

/**
 * All together where this member leads and users are not checked, which spares each put the promises and the timer of a call: most of what it
 * costs. Else each by itself, with all that stands before a call.
 */
export function putTogether(member: ServedMember, put: Put): PutAll {
  const { host } = member;
  const apart = putEach(put);
  return async (puts, context) => {
    try {
      const outcomes = await host.putAll(puts.map(decodePut), callerOf(context));
      if (outcomes === undefined) return await apart(puts, context);
      const header = member.headersOfThisTurn();
      return outcomes.map((outcome) =>
        outcome instanceof EtcdError ? (asStatus(outcome) as Error) : encodePut(outcome, header),
      );
    } catch (error) {
      throw asStatus(error);
    }
  };
}
