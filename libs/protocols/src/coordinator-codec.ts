import { messageCodec, required, type txnV1 } from '@synod/contracts';
import { unreachable } from '@synod/invariant';
import type { CoordinatorRequest, CoordinatorResponse } from './coordinator';
import type { ErrorResponse, Numbered, RequestProtocol } from './request-stream';
import {
  attemptFromWire,
  attemptToWire,
  errorFromWire,
  errorToWire,
  handleFromWire,
  outcomeFromWire,
  readVersionFromWire,
  readVersionToWire,
  recordToWire,
  writeFromWire,
  writeToWire,
} from './wire';

export type CoordinatorProtocol = RequestProtocol<CoordinatorRequest, CoordinatorResponse>;

/** Requests to a transaction coordinator. */
export function coordinatorProtocol(): CoordinatorProtocol {
  const up = messageCodec('synod.txn.v1.ExchangeRequest');
  const down = messageCodec('synod.txn.v1.ExchangeResponse');
  return {
    name: '/synod.txn.v1.TransactionCoordinator/Exchange',
    up: {
      encode: (batch) => up.encode({ requests: batch.map(requestToWire) }),
      decode: (bytes) =>
        up.decode(bytes).requests.map((message) => ({ id: message.id, body: requestFromWire(message) })),
    },
    down: {
      encode: (batch) => down.encode({ responses: batch.map(responseToWire) }),
      decode: (bytes) =>
        down.decode(bytes).responses.map((message) => ({ id: message.id, body: responseFromWire(message) })),
    },
  };
}

function requestToWire({ id, body }: Numbered<CoordinatorRequest>): txnV1.Request {
  switch (body.kind) {
    case 'begin':
      return { id, begin: {} };
    case 'commit':
      return {
        id,
        commit: {
          attempt: attemptToWire(body.attempt),
          reads: body.reads.map(readVersionToWire),
          writes: body.writes.map(writeToWire),
        },
      };
    case 'outcome':
      return { id, outcome: { txn: body.txn, attempt: body.attempt } };
  }
}

function requestFromWire(message: txnV1.Request__Output): CoordinatorRequest {
  switch (message.body) {
    case 'begin':
      return { kind: 'begin' };
    case 'commit': {
      const { attempt, reads, writes } = required(message.commit, 'commit');
      return {
        kind: 'commit',
        attempt: attemptFromWire(attempt),
        reads: reads.map(readVersionFromWire),
        writes: writes.map(writeFromWire),
      };
    }
    case 'outcome': {
      const { txn, attempt } = required(message.outcome, 'outcome');
      return { kind: 'outcome', txn: handleFromWire(txn), attempt };
    }
    case undefined:
      throw new TypeError('the coordinator request has no body that this release knows');
    default:
      return unreachable(message.body);
  }
}

function responseToWire({ id, body }: Numbered<CoordinatorResponse | ErrorResponse>): txnV1.Response {
  switch (body.kind) {
    case 'begun':
      return { id, begun: { readTs: body.readTs.toString() } };
    case 'outcome':
      return {
        id,
        outcome: { record: recordToWire(body.outcome), conflict: body.conflict, reason: body.reason },
      };
    case 'error':
      return { id, error: errorToWire(body.error) };
  }
}

function responseFromWire(message: txnV1.Response__Output): CoordinatorResponse {
  switch (message.body) {
    case 'begun':
      return { kind: 'begun', readTs: BigInt(required(message.begun, 'begun').readTs) };
    case 'outcome': {
      const { record, conflict, reason } = required(message.outcome, 'outcome');
      return { kind: 'outcome', outcome: outcomeFromWire(record), conflict, reason };
    }
    case 'error':
      return { kind: 'error', error: errorFromWire(message.error) };
    case undefined:
      throw new TypeError('the coordinator response has no body that this release knows');
    default:
      return unreachable(message.body);
  }
}
