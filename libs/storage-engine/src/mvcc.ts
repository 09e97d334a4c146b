import type { StoreReader, StoreTransaction } from '@synod/runtime';
import { mvccKey, timestampOf, versionKey, versionsEnd, versionsStart, TIMESTAMP_MAX } from './mvcc-key';

/** What a read at a timestamp found: the newest version at or below it. */
export interface Version {
  /** Undefined if this version is a deletion. */
  readonly value: Buffer | undefined;
  /** The timestamp it was written at. */
  readonly version: bigint;
}

/** The first byte of a stored value; a deletion is nothing else. */
const TAG = { deleted: 0, present: 1 } as const;
const DELETED = Buffer.from([TAG.deleted]);

/** Writes the version of `key` at `timestamp`; `undefined` deletes it as of then. Replaces a version of the same timestamp. */
export function putVersion(
  transaction: StoreTransaction,
  prefix: Uint8Array,
  key: Uint8Array,
  timestamp: bigint,
  value: Uint8Array | undefined,
): void {
  transaction.put(mvccKey(prefix, key, timestamp), value === undefined ? DELETED : present(value));
}

/**
 * The newest version of `key` at or below `timestamp`, in one seek.
 * @returns undefined if the key had no version by then
 */
export function readAt(
  reader: StoreReader,
  prefix: Uint8Array,
  key: Uint8Array,
  timestamp: bigint,
): Version | undefined {
  return newestBelow(reader, versionsStart(prefix, key), timestamp);
}

/** The timestamp of the newest version of `key`, deletions included; undefined if it has none. */
export function newestVersion(reader: StoreReader, prefix: Uint8Array, key: Uint8Array): bigint | undefined {
  return readAt(reader, prefix, key, TIMESTAMP_MAX)?.version;
}

function newestBelow(reader: StoreReader, start: Buffer, timestamp: bigint): Version | undefined {
  const range = { start: versionKey(start, timestamp), end: versionsEnd(start), limit: 1 };
  for (const { key, value } of reader.range(range)) return { value: valueOf(value), version: timestampOf(key) };
  return undefined;
}

/** The user's value in a stored one: a view; undefined for a deletion. */
export function valueOf(stored: Buffer): Buffer | undefined {
  return stored[0] === TAG.present ? stored.subarray(1) : undefined;
}

function present(value: Uint8Array): Buffer {
  const stored = Buffer.allocUnsafe(1 + value.length);
  stored[0] = TAG.present;
  stored.set(value, 1);
  return stored;
}
