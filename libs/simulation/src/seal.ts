/**
 * Deep-freezes a message and sums up what cannot be frozen: the bytes of typed arrays. In production every message is copied through
 * its codec; here sender and receiver share it, and a change made by either would be a telepathic network.
 * @returns a checksum over all bytes in the message; the same later, or somebody changed them
 */
export function seal(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  if (value instanceof Uint8Array) return checksum(value);
  if (value instanceof Map || value instanceof Set) {
    throw new TypeError('a message holds a Map or a Set, which cannot be frozen: use arrays');
  }
  let sum = 0;
  if (Array.isArray(value)) {
    for (const item of value) if (typeof item === 'object') sum = Math.imul(sum, 31) + seal(item);
  } else {
    const fields = value as Record<string, unknown>;
    for (const name in fields) {
      const field = fields[name];
      if (typeof field === 'object') sum = Math.imul(sum, 31) + seal(field);
    }
  }
  if (!Object.isFrozen(value)) Object.freeze(value);
  return sum | 0;
}

/** FNV-1a, eight bytes apart over long arrays after their first kilobyte: an aliased buffer is overwritten as a whole. */
function checksum(bytes: Uint8Array): number {
  let h = 0x811c9dc5 ^ bytes.length;
  const dense = Math.min(bytes.length, 1024);
  for (let index = 0; index < dense; index++) h = Math.imul(h ^ (bytes[index] as number), 0x01000193);
  for (let index = dense; index < bytes.length; index += 8) h = Math.imul(h ^ (bytes[index] as number), 0x01000193);
  return h;
}
