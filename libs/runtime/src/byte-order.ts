/**
 * Unsigned byte order: how keys compare everywhere in Synod. A key sorts before every longer key that it begins.
 * @returns < 0, 0 or > 0
 */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}

/** The first key after `key`: nothing sorts between the two. */
export function successor(key: Uint8Array): Buffer {
  const next = Buffer.alloc(key.length + 1);
  next.set(key);
  return next;
}

/**
 * The first key after all keys that begin with `prefix`: the excluded end of the range that holds exactly those.
 * @returns undefined if there is none, because `prefix` is empty or nothing but 0xff
 */
export function prefixEnd(prefix: Uint8Array): Buffer | undefined {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length -= 1;
  if (length === 0) return undefined;
  const end = Buffer.from(prefix.subarray(0, length));
  end[length - 1] = (end[length - 1] ?? 0) + 1;
  return end;
}
