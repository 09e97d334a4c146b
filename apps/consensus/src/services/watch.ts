import type { CallContext, ResponseWriter, ServiceHandlers } from '@synod/rpc';
import type { etcdserverpb } from '@synod/contracts';
import type { Caller } from '../auth/caller';
import type { Gatekeeper, Question } from '../auth/gatekeeper';
import { NOBODY, type Authority } from '../state/auth/authority';
import { EtcdError } from '../state/errors';
import { watchedKey, WatchStream, type WatchStreamRequest } from '../watch-stream';
import { callerOf } from './caller-of';
import { decodeWatch } from './decode';
import { encodeWatch } from './encode';
import { whileLed } from './leader-watch';
import { statusText, wantsLeader, type ServedMember } from './member';

type Create = Extract<WatchStreamRequest, { readonly kind: 'create' }>;

export function watchService(member: ServedMember): ServiceHandlers<'etcdserverpb.Watch'> {
  return {
    Watch: (requests, responses, context) =>
      member.answer(context, async () => {
        const stream = openStream(member, responses);
        const serving = serve(member, stream, requests, context);
        if (!wantsLeader(context)) return serving;
        try {
          await whileLed(member, member.node.ports.timers, serving);
        } catch (error) {
          if (error instanceof EtcdError) stream.cancelAll(error.message);
          throw error;
        }
      }),
  };
}

function openStream(member: ServedMember, responses: ResponseWriter<etcdserverpb.WatchResponse>): WatchStream {
  const writer = {
    send: (response: Parameters<typeof encodeWatch>[0]) => responses.send(encodeWatch(response, member.header)),
    drained: () => responses.drained(),
  };
  return new WatchStream(member.host.watches, writer, member.node.ports, member.host.limits.requestBytesMax);
}

async function serve(
  member: ServedMember,
  stream: WatchStream,
  requests: AsyncIterable<etcdserverpb.WatchRequest__Output>,
  context: CallContext,
): Promise<void> {
  const { gatekeeper } = member.host;
  let authority: Authority = NOBODY;
  // Who may no longer see a range is not told what happens in it any longer. (etcd lets watches go on.)
  const unheard = gatekeeper.whenChanged(() =>
    stream.cancelWhere((key, rangeEnd) => {
      const refusal = gatekeeper.ask(gatekeeper.renewed(authority), mayWatch(key, rangeEnd));
      return refusal === undefined ? undefined : statusText(new EtcdError(refusal));
    }),
  );
  try {
    for await (const message of requests) {
      const request = decodeWatch(message);
      if (request === undefined) continue;
      if (request.kind === 'create' && gatekeeper.enabled) {
        const admitted = await admit(gatekeeper, callerOf(context), request);
        if (admitted instanceof EtcdError) {
          stream.refuse(statusText(admitted));
          continue;
        }
        authority = admitted;
      }
      await stream.receive(request);
    }
  } finally {
    unheard();
    stream.close();
  }
}

/** @returns on whose behalf a watch is made, or why it is not */
async function admit(gatekeeper: Gatekeeper, caller: Caller, request: Create): Promise<Authority | EtcdError> {
  try {
    const authority = await gatekeeper.authorityOf(caller);
    const refusal = gatekeeper.ask(authority, mayWatch(watchedKey(request), request.rangeEnd));
    return refusal === undefined ? authority : new EtcdError(refusal);
  } catch (error) {
    if (error instanceof EtcdError) return error;
    throw error;
  }
}

/** The whole range is asked about as it stands: an open end is more than its first key. */
function mayWatch(key: Buffer, rangeEnd: Buffer): Question {
  return (authorities, store, authority) => authorities.refuseUse(store, authority, 'read', key, rangeEnd);
}
