import type { ResponseWriter, ServiceHandlers } from '@synod/rpc';
import type { etcdserverpb } from '@synod/contracts';
import { EtcdError } from '../state/errors';
import { WatchStream } from '../watch-stream';
import { decodeWatch } from './decode';
import { encodeWatch } from './encode';
import { whileLed } from './leader-watch';
import { wantsLeader, type ServedMember } from './member';

export function watchService(member: ServedMember): ServiceHandlers<'etcdserverpb.Watch'> {
  return {
    Watch: (requests, responses, context) =>
      member.answer(context, async () => {
        const stream = openStream(member, responses);
        const serving = serve(stream, requests);
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

async function serve(stream: WatchStream, requests: AsyncIterable<etcdserverpb.WatchRequest__Output>): Promise<void> {
  try {
    for await (const message of requests) {
      const request = decodeWatch(message);
      if (request !== undefined) await stream.receive(request);
    }
  } finally {
    stream.close();
  }
}
