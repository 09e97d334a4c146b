import type { StoreReader, StoreTransaction } from '@synod/runtime';
import { ByteWriter } from './bytes';

// TEMPORARY: replaced by @synod/storage-engine.
export interface VersionAt {
  readonly version: bigint;
  readonly value: Buffer | undefined;
}
export interface LiveRow {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly version: bigint;
}
function enc(key: Uint8Array): Buffer {
  const to = new ByteWriter();
  for (let at = 0; ; at += 8) {
    const group = key.subarray(at, at + 8);
    to.raw(group).raw(Buffer.alloc(8 - group.length));
    if (group.length < 8 || at + 8 === key.length + 8) {
      to.u8(group.length);
      return to.finish();
    }
    to.u8(9);
  }
}
const INVERT = 0xffff_ffff_ffff_ffffn;
function dec(bytes: Buffer): { key: Buffer; ts: bigint } {
  const parts: Buffer[] = [];
  let at = 0;
  for (;;) {
    const marker = bytes.readUInt8(at + 8);
    parts.push(bytes.subarray(at, at + Math.min(marker, 8)));
    at += 9;
    if (marker < 9) break;
  }
  return { key: Buffer.concat(parts), ts: INVERT - bytes.readBigUInt64BE(at) };
}
function rowKey(prefix: Buffer, key: Uint8Array, ts: bigint): Buffer {
  return new ByteWriter()
    .raw(prefix)
    .raw(enc(key))
    .u64(INVERT - ts)
    .finish();
}
export function putVersion(
  tx: StoreTransaction,
  prefix: Buffer,
  key: Uint8Array,
  ts: bigint,
  value: Buffer | undefined,
): void {
  const to = new ByteWriter();
  if (value === undefined) to.u8(0);
  else to.u8(1).raw(value);
  tx.put(rowKey(prefix, key, ts), to.finish());
}
export function readAt(reader: StoreReader, prefix: Buffer, key: Uint8Array, ts: bigint): VersionAt | undefined {
  const range = {
    start: rowKey(prefix, key, ts),
    end: Buffer.concat([rowKey(prefix, key, 0n), Buffer.alloc(1)]),
    limit: 1,
  };
  for (const entry of reader.range(range)) {
    const { ts: version } = dec(entry.key.subarray(prefix.length));
    return { version, value: entry.value.readUInt8(0) === 0 ? undefined : entry.value.subarray(1) };
  }
  return undefined;
}
export function* scanAt(
  reader: StoreReader,
  prefix: Buffer,
  start: Uint8Array,
  end: Uint8Array,
  ts: bigint,
): Iterable<LiveRow> {
  let last: Buffer | undefined;
  const range = { start: Buffer.concat([prefix, enc(start)]), end: Buffer.concat([prefix, enc(end)]) };
  for (const entry of reader.range(range)) {
    const { key, ts: version } = dec(entry.key.subarray(prefix.length));
    if (version > ts || last?.equals(key)) continue;
    last = key;
    if (entry.value.readUInt8(0) === 1) yield { key, value: entry.value.subarray(1), version };
  }
}
