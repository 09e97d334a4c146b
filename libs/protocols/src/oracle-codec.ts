import { messageCodec, required, type consensusV1 } from '@synod/contracts';
import { unreachable } from '@synod/invariant';
import type { TimestampRequest, TimestampResponse } from './oracle';
import type { ErrorResponse, Numbered, RequestProtocol } from './request-stream';
import { errorFromWire, errorToWire } from './wire';

export type OracleProtocol = RequestProtocol<TimestampRequest, TimestampResponse>;

/** Requests to the timestamp oracle. */
export function oracleProtocol(): OracleProtocol {
  const up = messageCodec('synod.consensus.v1.ExchangeRequest');
  const down = messageCodec('synod.consensus.v1.ExchangeResponse');
  return {
    name: '/synod.consensus.v1.TimestampOracle/Exchange',
    up: {
      encode: (batch) => up.encode({ requests: batch.map(({ id, body }) => ({ id, count: body.count })) }),
      decode: (bytes) =>
        up.decode(bytes).requests.map(({ id, count }) => ({ id, body: { kind: 'timestamps', count } })),
    },
    down: {
      encode: (batch) => down.encode({ responses: batch.map(responseToWire) }),
      decode: (bytes) =>
        down.decode(bytes).responses.map((message) => ({ id: message.id, body: responseFromWire(message) })),
    },
  };
}

function responseToWire({ id, body }: Numbered<TimestampResponse | ErrorResponse>): consensusV1.TimestampsResponse {
  switch (body.kind) {
    case 'timestamps':
      return { id, timestamps: { first: body.first.toString(), count: body.count } };
    case 'error':
      return { id, error: errorToWire(body.error) };
  }
}

function responseFromWire(message: consensusV1.TimestampsResponse__Output): TimestampResponse {
  switch (message.outcome) {
    case 'timestamps': {
      const { first, count } = required(message.timestamps, 'timestamps');
      return { kind: 'timestamps', first: BigInt(first), count };
    }
    case 'error':
      return { kind: 'error', error: errorFromWire(message.error) };
    case undefined:
      throw new TypeError('the oracle response has no outcome that this release knows');
    default:
      return unreachable(message.outcome);
  }
}
