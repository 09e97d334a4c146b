import { messageCodec, required, type storageV1 } from '@synod/contracts';
import { unreachable } from '@synod/invariant';
import type { ErrorResponse, Numbered, RequestProtocol } from './request-stream';
import type { Row, StorageRequest, StorageResponse } from './storage';
import {
  attemptFromWire,
  attemptToWire,
  errorFromWire,
  errorToWire,
  handleFromWire,
  outcomeFromWire,
  readVersionFromWire,
  readVersionToWire,
  recordFromWire,
  recordToWire,
  writeFromWire,
  writeToWire,
} from './wire';

export type StorageProtocol = RequestProtocol<StorageRequest, StorageResponse>;

/** Requests to the shards of a node. */
export function storageProtocol(): StorageProtocol {
  const up = messageCodec('synod.storage.v1.ExchangeRequest');
  const down = messageCodec('synod.storage.v1.ExchangeResponse');
  return {
    name: '/synod.storage.v1.Storage/Exchange',
    up: {
      encode: (batch) => up.encode({ requests: batch.map(requestToWire) }),
      decode: (bytes) => up.decode(bytes).requests.map(requestFromWire),
    },
    down: {
      encode: (batch) => down.encode({ responses: batch.map(responseToWire) }),
      decode: (bytes) => down.decode(bytes).responses.map(responseFromWire),
    },
  };
}

function requestToWire({ id, body }: Numbered<StorageRequest>): storageV1.Request {
  switch (body.kind) {
    case 'read':
      return { id, read: { shard: body.shard, keys: [...body.keys], readTs: body.readTs.toString() } };
    case 'scan': {
      const { shard, start, end, limit, readTs } = body;
      return { id, scan: { shard, start, end, limit, readTs: readTs.toString() } };
    }
    case 'prepare':
      return { id, prepare: workToWire(body) };
    case 'commit-one-phase':
      return { id, commitOnePhase: workToWire(body) };
    case 'decide': {
      const { shard, txn, proposal, participants } = body;
      return { id, decide: { shard, txn, proposal: recordToWire(proposal), participants: [...participants] } };
    }
    case 'status':
      return { id, status: { shard: body.shard, txn: body.txn } };
    case 'resolve':
      return { id, resolve: { shard: body.shard, txn: body.txn, outcome: recordToWire(body.outcome) } };
  }
}

function requestFromWire(message: storageV1.Request__Output): Numbered<StorageRequest> {
  return { id: message.id, body: requestBodyFromWire(message) };
}

function requestBodyFromWire(message: storageV1.Request__Output): StorageRequest {
  switch (message.body) {
    case 'read': {
      const { shard, keys, readTs } = required(message.read, 'read');
      return { kind: 'read', shard, keys, readTs: BigInt(readTs) };
    }
    case 'scan': {
      const { shard, start, end, limit, readTs } = required(message.scan, 'scan');
      return { kind: 'scan', shard, start, end, limit, readTs: BigInt(readTs) };
    }
    case 'prepare':
      return { kind: 'prepare', ...workFromWire(required(message.prepare, 'prepare')) };
    case 'commitOnePhase':
      return { kind: 'commit-one-phase', ...workFromWire(required(message.commitOnePhase, 'commit_one_phase')) };
    case 'decide': {
      const { shard, txn, proposal, participants } = required(message.decide, 'decide');
      return {
        kind: 'decide',
        shard,
        txn: handleFromWire(txn),
        proposal: outcomeFromWire(proposal),
        participants,
      };
    }
    case 'status': {
      const { shard, txn } = required(message.status, 'status');
      return { kind: 'status', shard, txn: handleFromWire(txn) };
    }
    case 'resolve': {
      const { shard, txn, outcome } = required(message.resolve, 'resolve');
      return { kind: 'resolve', shard, txn: handleFromWire(txn), outcome: outcomeFromWire(outcome) };
    }
    case undefined:
      throw new TypeError('the storage request has no body that this release knows');
    default:
      return unreachable(message.body);
  }
}

type Work = Omit<Extract<StorageRequest, { kind: 'prepare' }>, 'kind'>;

function workToWire({ shard, attempt, reads, writes }: Work): storageV1.PrepareRequest {
  return {
    shard,
    attempt: attemptToWire(attempt),
    reads: reads.map(readVersionToWire),
    writes: writes.map(writeToWire),
  };
}

function workFromWire({ shard, attempt, reads, writes }: storageV1.PrepareRequest__Output): Work {
  return {
    shard,
    attempt: attemptFromWire(attempt),
    reads: reads.map(readVersionFromWire),
    writes: writes.map(writeFromWire),
  };
}

function responseToWire({ id, body }: Numbered<StorageResponse | ErrorResponse>): storageV1.Response {
  switch (body.kind) {
    case 'read': {
      const values = body.values.map(({ value, version }) => ({
        version: version.toString(),
        ...(value === undefined ? {} : { value }),
      }));
      return { id, read: { values } };
    }
    case 'scan':
      return { id, scan: { rows: body.rows.map(rowToWire), more: body.more } };
    case 'prepared':
      return { id, prepared: { prepTs: body.prepTs.toString() } };
    case 'conflict':
      return { id, conflict: { reason: body.reason } };
    case 'record':
      return { id, record: recordToWire(body.record) };
    case 'resolved':
      return { id, resolved: {} };
    case 'error':
      return { id, error: errorToWire(body.error) };
  }
}

function responseFromWire(message: storageV1.Response__Output): Numbered<StorageResponse> {
  return { id: message.id, body: responseBodyFromWire(message) };
}

function responseBodyFromWire(message: storageV1.Response__Output): StorageResponse {
  switch (message.body) {
    case 'read': {
      const values = required(message.read, 'read').values.map(({ value, version, _value }) => ({
        value: _value === undefined ? undefined : value,
        version: BigInt(version),
      }));
      return { kind: 'read', values };
    }
    case 'scan': {
      const { rows, more } = required(message.scan, 'scan');
      return { kind: 'scan', rows: rows.map(rowFromWire), more };
    }
    case 'prepared':
      return { kind: 'prepared', prepTs: BigInt(required(message.prepared, 'prepared').prepTs) };
    case 'conflict':
      return { kind: 'conflict', reason: required(message.conflict, 'conflict').reason };
    case 'record':
      return { kind: 'record', record: recordFromWire(message.record) };
    case 'resolved':
      return { kind: 'resolved' };
    case 'error':
      return { kind: 'error', error: errorFromWire(message.error) };
    case undefined:
      throw new TypeError('the storage response has no body that this release knows');
    default:
      return unreachable(message.body);
  }
}

function rowToWire({ key, value, version }: Row): storageV1.Row {
  return { key, value, version: version.toString() };
}

function rowFromWire({ key, value, version }: storageV1.Row__Output): Row {
  return { key, value, version: BigInt(version) };
}
