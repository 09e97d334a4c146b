/** Which byte values end a record: 1 at each of them. */
export type Separators = Uint8Array;

export function separators(...values: readonly number[]): Separators {
  const table = new Uint8Array(256);
  for (const value of values) table[value] = 1;
  return table;
}

/** Lines end at LF. A CR before it belongs to the ending (`forEachLine`). */
export const LINE_SEPARATORS = separators(0x0a);

/** A word is a run of bytes other than 09–0D and 20: no encoding is assumed and case is kept. */
export const WORD_SEPARATORS = separators(0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x20);

/** @returns the first separator in `[from, to)`, or -1 */
export function firstSeparator(bytes: Uint8Array, from: number, to: number, table: Separators): number {
  for (let at = from; at < to; at++) if (table[bytes[at] as number] === 1) return at;
  return -1;
}

/** @returns the last separator in `[from, to)`, or -1 */
export function lastSeparator(bytes: Uint8Array, from: number, to: number, table: Separators): number {
  for (let at = to - 1; at >= from; at--) if (table[bytes[at] as number] === 1) return at;
  return -1;
}

/** Calls `visit` with `[start, end)` of each word. */
export function forEachWord(bytes: Uint8Array, visit: (start: number, end: number) => void): void {
  const length = bytes.length;
  let at = 0;
  while (at < length) {
    while (at < length && WORD_SEPARATORS[bytes[at] as number] === 1) at++;
    const start = at;
    while (at < length && WORD_SEPARATORS[bytes[at] as number] === 0) at++;
    if (at > start) visit(start, at);
  }
}

/**
 * Calls `visit` with `[start, end)` of each line, without its LF or CRLF. A last line without an ending counts; nothing after the
 * last ending does not.
 */
export function forEachLine(bytes: Uint8Array, visit: (start: number, end: number) => void): void {
  let start = 0;
  while (start < bytes.length) {
    const at = firstSeparator(bytes, start, bytes.length, LINE_SEPARATORS);
    const end = at < 0 ? bytes.length : at;
    visit(start, at > start && bytes[at - 1] === 0x0d ? at - 1 : end);
    start = end + 1;
  }
}
