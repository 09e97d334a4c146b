import { serviceDefinition } from '@synod/contracts';

/** A unary call as it goes over HTTP/2: its path and its request, framed. Prepared once: the load is to cost as little as can be. */
export interface PreparedCall {
  readonly path: string;
  readonly body: Buffer;
}

export const VALUE_BYTES = 100;

const kv = serviceDefinition('etcdserverpb.KV');

export function putCall(key: string): PreparedCall {
  const value = Buffer.alloc(VALUE_BYTES, 'v');
  return { path: kv.Put.path, body: framed(kv.Put.requestSerialize({ key: Buffer.from(key), value })) };
}

/** @param serializable answered from the member's own state, without its majority */
export function rangeCall(key: string, serializable: boolean): PreparedCall {
  return { path: kv.Range.path, body: framed(kv.Range.requestSerialize({ key: Buffer.from(key), serializable })) };
}

/** Puts of `count` keys from a number on, as one transaction. */
export function fillCall(first: number, count: number): PreparedCall {
  const value = Buffer.alloc(VALUE_BYTES, 'v');
  const success = Array.from({ length: count }, (_, index) => ({
    requestPut: { key: Buffer.from(`fill/${String(first + index).padStart(9, '0')}`), value },
  }));
  return { path: kv.Txn.path, body: framed(kv.Txn.requestSerialize({ success })) };
}

/** gRPC over HTTP/2, "Length-Prefixed-Message": a byte that says not compressed, four of the size, the message. */
export function framed(message: Buffer): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}
