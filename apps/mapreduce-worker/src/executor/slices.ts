/** Beyond this many equal bytes the native comparison wins over the loop. */
const LOOP_BYTES = 24;

/** Unsigned byte order of two slices. @returns < 0, 0 or > 0 */
export function compareSlices(
  a: Buffer,
  aStart: number,
  aEnd: number,
  b: Buffer,
  bStart: number,
  bEnd: number,
): number {
  const common = Math.min(aEnd - aStart, bEnd - bStart);
  const looped = Math.min(common, LOOP_BYTES);
  for (let at = 0; at < looped; at++) {
    const difference = (a[aStart + at] as number) - (b[bStart + at] as number);
    if (difference !== 0) return difference;
  }
  if (common <= LOOP_BYTES) return aEnd - aStart - (bEnd - bStart);
  return a.compare(b, bStart + looped, bEnd, aStart + looped, aEnd);
}

export function sameBytes(a: Uint8Array, aStart: number, b: Uint8Array, bStart: number, length: number): boolean {
  for (let at = 0; at < length; at++) if (a[aStart + at] !== b[bStart + at]) return false;
  return true;
}
