/**
 * Keys of versions: `prefix | enc(key) | ~timestamp`, so that the versions of a key lie together, newest first, and keys keep their
 * order. Source: the layout is that of Bigtable (Chang et al., OSDI 2006, §2); `enc` is the memcomparable format of MyRocks.
 *
 * `enc` cuts the key into groups of eight bytes, the last one filled up with zeros, each followed by a marker: 0xff, or in the last
 * group 0xff less the number of zeros, of which there are 1 to 8. So no encoded key begins another, byte order is kept for
 * arbitrary bytes, and 1 KiB becomes 1,161 bytes.
 */
const GROUP_BYTES = 8;
const STORED_GROUP_BYTES = GROUP_BYTES + 1;
const MARKER_FULL = 0xff;
const TIMESTAMP_BYTES = 8;

/** The highest timestamp there can be; reading at it reads the newest version. */
export const TIMESTAMP_MAX = 2n ** 64n - 1n;

/** `prefix | enc(key)`: what the stored keys of all versions of `key`, and no others, begin with. */
export function versionsStart(prefix: Uint8Array, key: Uint8Array): Buffer {
  const stored = Buffer.allocUnsafe(baseBytes(prefix, key));
  writeBase(stored, prefix, key);
  return stored;
}

/** The first stored key after all versions of a key, given their start. (A last marker is never 0xff.) */
export function versionsEnd(start: Uint8Array): Buffer {
  const end = Buffer.from(start);
  end[end.length - 1] = (end[end.length - 1] ?? 0) + 1;
  return end;
}

/** The stored key of one version. */
export function mvccKey(prefix: Uint8Array, key: Uint8Array, timestamp: bigint): Buffer {
  const stored = Buffer.allocUnsafe(baseBytes(prefix, key) + TIMESTAMP_BYTES);
  const at = writeBase(stored, prefix, key);
  stored.writeBigUInt64BE(TIMESTAMP_MAX - timestamp, at);
  return stored;
}

/** The stored key of the version at `timestamp` of the key whose versions start at `start`. */
export function versionKey(start: Uint8Array, timestamp: bigint): Buffer {
  const stored = Buffer.allocUnsafe(start.length + TIMESTAMP_BYTES);
  stored.set(start);
  stored.writeBigUInt64BE(TIMESTAMP_MAX - timestamp, start.length);
  return stored;
}

/** `prefix | enc(key)` of a stored key: a view. */
export function startOf(stored: Buffer): Buffer {
  return stored.subarray(0, stored.length - TIMESTAMP_BYTES);
}

export function timestampOf(stored: Buffer): bigint {
  return TIMESTAMP_MAX - stored.readBigUInt64BE(stored.length - TIMESTAMP_BYTES);
}

/** The key as the user gave it, from `prefix | enc(key)` and whatever follows. */
export function decodeKey(stored: Buffer, prefixBytes: number): Buffer {
  let at = prefixBytes + GROUP_BYTES;
  while (stored[at] === MARKER_FULL) at += STORED_GROUP_BYTES;
  const groups = (at - prefixBytes - GROUP_BYTES) / STORED_GROUP_BYTES + 1;
  const padding = MARKER_FULL - (stored[at] ?? MARKER_FULL);
  const key = Buffer.allocUnsafe(groups * GROUP_BYTES - padding);
  for (let group = 0; group < groups; group += 1) {
    const from = prefixBytes + group * STORED_GROUP_BYTES;
    const bytes = group === groups - 1 ? GROUP_BYTES - padding : GROUP_BYTES;
    stored.copy(key, group * GROUP_BYTES, from, from + bytes);
  }
  return key;
}

function baseBytes(prefix: Uint8Array, key: Uint8Array): number {
  return prefix.length + (Math.floor(key.length / GROUP_BYTES) + 1) * STORED_GROUP_BYTES;
}

/** Returns the offset behind. */
function writeBase(stored: Buffer, prefix: Uint8Array, key: Uint8Array): number {
  stored.set(prefix);
  let at = prefix.length;
  for (let from = 0; from <= key.length; from += GROUP_BYTES) {
    const bytes = Math.min(GROUP_BYTES, key.length - from);
    for (let i = 0; i < GROUP_BYTES; i += 1) stored[at + i] = key[from + i] ?? 0;
    stored[at + GROUP_BYTES] = MARKER_FULL - (GROUP_BYTES - bytes);
    at += STORED_GROUP_BYTES;
  }
  return at;
}
