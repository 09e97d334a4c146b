import { prefixEnd, successor } from '@synod/runtime';

/** Keys in `[start, end)`; to the last key of the store if `end` is absent. */
export interface Span {
  readonly start: Buffer;
  readonly end: Buffer | undefined;
}

const FROM_KEY = Buffer.from([0]);

/**
 * The keys that a request names by `key` and `range_end`: one key if the end is empty, every key from `key` on if it is the single
 * byte 0, else the half-open range between them (empty if the end is not above the key).
 */
export function spanOf(key: Buffer, rangeEnd: Buffer): Span {
  if (rangeEnd.length === 0) return { start: key, end: successor(key) };
  if (rangeEnd.equals(FROM_KEY)) return { start: key, end: undefined };
  return { start: key, end: rangeEnd };
}

/** The `range_end` of all keys that begin with `prefix`. */
export function prefixRangeEnd(prefix: Buffer): Buffer {
  return prefixEnd(prefix) ?? FROM_KEY;
}

export function spanIncludes(span: Span, key: Buffer): boolean {
  return compare(key, span.start) >= 0 && (span.end === undefined || compare(key, span.end) < 0);
}

/** Every put is looked for in a few spans, and most keys differ in their first byte: that is looked at for less than a native call costs. */
function compare(a: Buffer, b: Buffer): number {
  return (a[0] ?? -1) - (b[0] ?? -1) || Buffer.compare(a, b);
}

/** Whether every key of `inner` lies in `outer`. */
export function spanWithin(inner: Span, outer: Span): boolean {
  return subtract(inner, outer).length === 0;
}

/** The part that two spans share; undefined if it holds no key. */
export function intersect(a: Span, b: Span): Span | undefined {
  const start = Buffer.compare(a.start, b.start) >= 0 ? a.start : b.start;
  const end = a.end === undefined ? b.end : b.end === undefined || Buffer.compare(a.end, b.end) <= 0 ? a.end : b.end;
  return end !== undefined && Buffer.compare(start, end) >= 0 ? undefined : { start, end };
}

/** What of `span` lies outside `hole`. */
export function subtract(span: Span, hole: Span): Span[] {
  const before = intersect(span, { start: Buffer.alloc(0), end: hole.start });
  const after = hole.end === undefined ? undefined : intersect(span, { start: hole.end, end: undefined });
  return [before, after].filter((part) => part !== undefined);
}
