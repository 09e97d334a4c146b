import { messageCodec, required, type peerV1 } from '@synod/contracts';
import { NO_BALLOT } from '@synod/paxos';
import type { Protocol } from '@synod/runtime';
import type { GroupConfiguration } from './api';
import { ballotFromWire, ballotToWire } from './ballot-codec';
import type { SnapshotRequest, SnapshotResponse } from './snapshot-messages';

/** The conversation in which a member that lags is handed a group's state: see protos/synod/peer/v1/peer.proto. */
export function snapshotProtocol(): Protocol<SnapshotRequest, SnapshotResponse> {
  const up = messageCodec('synod.peer.v1.FetchSnapshotRequest');
  const down = messageCodec('synod.peer.v1.FetchSnapshotResponse');
  return {
    name: '/synod.peer.v1.Peer/FetchSnapshot',
    up: {
      encode: (batch) => up.encode({ requests: [...batch] }),
      decode: (bytes) => up.decode(bytes).requests.map(requestFromWire),
    },
    down: {
      encode: (batch) => down.encode({ responses: batch.map(responseToWire) }),
      decode: (bytes) => down.decode(bytes).responses.map(responseFromWire),
    },
  };
}

function requestFromWire(request: peerV1.SnapshotRequest__Output): SnapshotRequest {
  const { clusterId, group, replicaId, snapshotId, after } = request;
  return { clusterId, group, replicaId, snapshotId, after };
}

function responseToWire(response: SnapshotResponse): peerV1.SnapshotResponse {
  if (response.kind === 'refused') return { refused: { reason: response.reason } };
  const { snapshot, after, entries, checksum, last } = response;
  const configuration = Buffer.from(JSON.stringify(snapshot.configuration));
  return {
    chunk: {
      snapshot: { ...snapshot, term: ballotToWire(snapshot.term), configuration },
      after,
      entries: [...entries],
      checksum,
      last,
    },
  };
}

function responseFromWire(response: peerV1.SnapshotResponse__Output): SnapshotResponse {
  switch (response.outcome) {
    case 'chunk': {
      const { snapshot, after, entries, checksum, last } = required(response.chunk, 'chunk');
      const { snapshotId, appliedThrough, term, configuration } = required(snapshot, 'snapshot');
      return {
        kind: 'chunk',
        snapshot: {
          snapshotId,
          appliedThrough: Number(appliedThrough),
          term: term ? ballotFromWire(term) : NO_BALLOT,
          configuration: JSON.parse(configuration.toString()) as GroupConfiguration,
        },
        after,
        entries,
        checksum,
        last,
      };
    }
    case 'refused':
      return { kind: 'refused', reason: required(response.refused, 'refused').reason };
    default:
      throw new TypeError('the snapshot response has no outcome that this release knows');
  }
}
