import { serveRequests } from '@synod/protocols';
import type { Connection, Log, Transport } from '@synod/runtime';
import type { Coordination } from './port';
import {
  coordinationProtocol,
  coordinationWatchProtocol,
  type CoordinationRequest,
  type CoordinationResponse,
  type WatchNews,
  type WatchOrder,
} from './stream-protocol';

const INFLIGHT_MAX = 16_384;

/** Serves a coordination store, with the rights that it itself has, to `StreamCoordination` clients. */
export function serveCoordination(
  ports: { readonly transport: Transport; readonly log: Log },
  coordination: Coordination,
): void {
  const { transport, log } = ports;
  serveRequests(transport, coordinationProtocol(), (request) => answer(coordination, request), {
    inflightMax: INFLIGHT_MAX,
    failed: (error) => log.error('a coordination request failed', { error: String(error) }),
  });
  transport.serve(coordinationWatchProtocol(), (connection) => {
    let cancel = (): void => undefined;
    return {
      receive: (order) => {
        cancel();
        cancel = watch(coordination, order, connection);
      },
      closed: () => cancel(),
    };
  });
}

async function answer(coordination: Coordination, request: CoordinationRequest): Promise<CoordinationResponse> {
  switch (request.kind) {
    case 'range':
      return { kind: 'range', ...(await coordination.range(request.key, request.rangeEnd)) };
    case 'transaction':
      return { kind: 'transaction', result: await coordination.transaction(request) };
    case 'grant-lease':
      return { kind: 'lease-granted', lease: await coordination.grantLease(request.ttlSeconds) };
    case 'keep-lease-alive':
      return { kind: 'lease-kept-alive', seconds: await coordination.keepLeaseAlive(request.lease) };
    case 'revoke-lease':
      await coordination.revokeLease(request.lease);
      return { kind: 'lease-revoked' };
  }
}

function watch(coordination: Coordination, order: WatchOrder, connection: Connection<WatchNews>): () => void {
  const { key, rangeEnd, startRevision } = order;
  const send = (news: WatchNews): void => {
    // A client whose queue is full has missed something: it dials again, and asks from where it is.
    if (connection.send(news)) return;
    cancel();
    connection.close();
  };
  const cancel = coordination.watch(
    { key, ...(rangeEnd === undefined ? {} : { rangeEnd }), startRevision },
    {
      events: (events, revision) => send({ kind: 'events', revision, events }),
      compacted: (revision) => send({ kind: 'compacted', revision }),
    },
  );
  return cancel;
}
