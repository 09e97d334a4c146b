import { wireInt64, type etcdserverpb, type mvccpb } from '@synod/contracts';
import type { KeyValue, Revision } from '../state/requests';
import type { DeleteRangeResult, OperationResult, PutResult, RangeResult, TxnResult } from '../state/results';
import type { WatchedEvent } from '../watch-hub';
import type { WatchStreamResponse } from '../watch-stream';

// From our own words to etcd's messages.

/** Who answers, at which revision; see `MemberIds`. */
export type MakeHeader = (revision: Revision) => etcdserverpb.ResponseHeader;

export function encodeEntry(entry: KeyValue): mvccpb.KeyValue {
  return {
    key: entry.key,
    value: entry.value,
    createRevision: wireInt64(entry.createRevision),
    modRevision: wireInt64(entry.modRevision),
    version: wireInt64(entry.version),
    lease: wireInt64(entry.lease),
  };
}

export function encodeRange(result: RangeResult, header: MakeHeader): etcdserverpb.RangeResponse {
  return {
    header: header(result.revision),
    kvs: result.entries.map(encodeEntry),
    more: result.more,
    count: wireInt64(result.count),
  };
}

export function encodePut(result: PutResult, header: MakeHeader): etcdserverpb.PutResponse {
  const response = { header: header(result.revision) };
  return result.previous === undefined ? response : { ...response, prevKv: encodeEntry(result.previous) };
}

export function encodeDeleteRange(result: DeleteRangeResult, header: MakeHeader): etcdserverpb.DeleteRangeResponse {
  return {
    header: header(result.revision),
    deleted: result.deleted.toString(),
    prevKvs: result.previous.map(encodeEntry),
  };
}

export function encodeTxn(result: TxnResult, header: MakeHeader): etcdserverpb.TxnResponse {
  return {
    header: header(result.revision),
    succeeded: result.succeeded,
    responses: result.responses.map(encodeOperation),
  };
}

/** Inside a transaction a header names the revision only. */
function encodeOperation(result: OperationResult): etcdserverpb.ResponseOp {
  const header: MakeHeader = (revision) => ({ revision: revision.toString() });
  switch (result.kind) {
    case 'range':
      return { responseRange: encodeRange(result, header) };
    case 'put':
      return { responsePut: encodePut(result, header) };
    case 'delete-range':
      return { responseDeleteRange: encodeDeleteRange(result, header) };
    case 'txn':
      // And that of a nested transaction not even that.
      return { responseTxn: { ...encodeTxn(result, header), header: {} } };
  }
}

export function encodeWatch(response: WatchStreamResponse, header: MakeHeader): etcdserverpb.WatchResponse {
  const { watchId, revision, created, canceled, cancelReason, compactRevision, fragment, events } = response;
  return {
    header: header(revision),
    watchId: watchId.toString(),
    created: created === true,
    canceled: canceled === true,
    cancelReason: cancelReason ?? '',
    compactRevision: (compactRevision ?? 0n).toString(),
    fragment: fragment === true,
    events: (events ?? []).map(encodeEvent),
  };
}

function encodeEvent({ type, entry, previous }: WatchedEvent): mvccpb.Event {
  // A deletion shows the key and the revision, nothing else.
  const kv = type === 'put' ? encodeEntry(entry) : { key: entry.key, modRevision: entry.modRevision.toString() };
  const event = { type: type === 'put' ? ('PUT' as const) : ('DELETE' as const), kv };
  return previous === undefined ? event : { ...event, prevKv: encodeEntry(previous) };
}
