import type { RequestProtocol } from '@synod/protocols';
import type { Codec, Protocol } from '@synod/runtime';
import type { Compare, CoordinationEntry, CoordinationEvent, Operation, TransactionResult } from './port';

/** The calls of `Coordination`, as messages. */
export type CoordinationRequest =
  | { readonly kind: 'range'; readonly key: Buffer; readonly rangeEnd: Buffer | undefined }
  | {
      readonly kind: 'transaction';
      readonly compare: readonly Compare[];
      readonly success: readonly Operation[];
      readonly failure: readonly Operation[];
    }
  | { readonly kind: 'grant-lease'; readonly ttlSeconds: number }
  | { readonly kind: 'keep-lease-alive'; readonly lease: bigint }
  | { readonly kind: 'revoke-lease'; readonly lease: bigint };

export type CoordinationResponse =
  | { readonly kind: 'range'; readonly revision: bigint; readonly entries: readonly CoordinationEntry[] }
  | { readonly kind: 'transaction'; readonly result: TransactionResult }
  | { readonly kind: 'lease-granted'; readonly lease: bigint }
  | { readonly kind: 'lease-kept-alive'; readonly seconds: number }
  | { readonly kind: 'lease-revoked' };

/** The first and only message of a watching client. */
export interface WatchOrder {
  readonly key: Buffer;
  readonly rangeEnd: Buffer | undefined;
  readonly startRevision: bigint;
}

export type WatchNews =
  | { readonly kind: 'events'; readonly revision: bigint; readonly events: readonly CoordinationEvent[] }
  | { readonly kind: 'compacted'; readonly revision: bigint };

/**
 * `Coordination` over the `Transport` port: how services reach the coordination store where there is no gRPC, in simulation. Real
 * services use the etcd API (`EtcdCoordination`), so these two have no place in protos/ and their bytes are JSON.
 */
export function coordinationProtocol(): RequestProtocol<CoordinationRequest, CoordinationResponse> {
  return { name: '/synod.simulation.Coordination/Exchange', up: jsonCodec(), down: jsonCodec() };
}

/** One connection for each watch. */
export function coordinationWatchProtocol(): Protocol<WatchOrder, WatchNews> {
  return { name: '/synod.simulation.Coordination/Watch', up: jsonCodec(), down: jsonCodec() };
}

/** JSON with a form for what it lacks: bytes and 64-bit integers. */
function jsonCodec<T>(): Codec<T> {
  return {
    encode: (batch) => Buffer.from(JSON.stringify(batch, tagged)),
    decode: (bytes) => JSON.parse(Buffer.from(bytes).toString(), untagged) as T[],
  };
}

/** A Buffer has become `{type: 'Buffer', data}` by its own `toJSON` when it gets here. */
function tagged(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return { bigint: value.toString() };
  return isBufferJson(value) ? { bytes: Buffer.from(value.data).toString('base64') } : value;
}

function untagged(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if ('bigint' in value && typeof value.bigint === 'string') return BigInt(value.bigint);
  if ('bytes' in value && typeof value.bytes === 'string') return Buffer.from(value.bytes, 'base64');
  return value;
}

function isBufferJson(value: unknown): value is { readonly data: number[] } {
  return typeof value === 'object' && value !== null && 'type' in value && value.type === 'Buffer' && 'data' in value;
}
