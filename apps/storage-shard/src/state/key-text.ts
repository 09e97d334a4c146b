import type { Key } from '@synod/two-phase-commit';

/** A key as the core and maps in memory name it: one character per byte, so that strings sort as the bytes do. */
export function keyText(key: Uint8Array): Key {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
}

export function keyBytes(text: Key): Buffer {
  return Buffer.from(text, 'latin1');
}

/** A key for people: JSON, cut after 64 characters. */
export function printableKey(text: Key): string {
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}…` : text);
}
