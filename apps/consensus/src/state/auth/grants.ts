import { spanIncludes, spanOf, spanWithin, type Span } from '../span';
import type { Access, Permission } from './auth-space';

/** What is asked of a range: to see it or to change it. */
export type Use = Exclude<Access, 'readwrite'>;

/** Everything a user may do, from all of its roles. */
export class Grants {
  private readonly spans: Readonly<Record<Use, readonly Span[]>>;

  constructor(
    /** May do anything with every key, and administer. */
    readonly administrator: boolean,
    permissions: readonly Permission[],
  ) {
    this.spans = { read: granted(permissions, 'read'), write: granted(permissions, 'write') };
  }

  /**
   * Whether all of a range is granted; it may take the permissions of several roles together to cover it. A range that is open at
   * its end is never covered by a permission for one key: etcd's watches once took it for a single key (GHSA-xg4h-6gfc-h4m8).
   */
  allow(use: Use, key: Buffer, rangeEnd: Buffer): boolean {
    if (this.administrator) return true;
    const asked = spanOf(key, rangeEnd);
    // A range without keys shows nothing, yet is no way around the question who asks.
    if (isEmpty(asked)) return this.spans[use].some((span) => spanIncludes(span, key));
    return this.spans[use].some((span) => spanWithin(asked, span));
  }
}

function isEmpty({ start, end }: Span): boolean {
  return end !== undefined && Buffer.compare(start, end) >= 0;
}

/** The spans for one use, in order, those that touch or overlap made one. */
function granted(permissions: readonly Permission[], use: Use): Span[] {
  const spans = permissions
    .filter(({ access }) => access === use || access === 'readwrite')
    .map(({ key, rangeEnd }) => spanOf(key, rangeEnd))
    .filter((span) => !isEmpty(span))
    .sort((a, b) => Buffer.compare(a.start, b.start));
  const merged: Span[] = [];
  for (const span of spans) {
    const last = merged.at(-1);
    if (last !== undefined && reaches(last, span.start))
      merged.splice(-1, 1, { start: last.start, end: later(last, span) });
    else merged.push(span);
  }
  return merged;
}

function reaches({ end }: Span, start: Buffer): boolean {
  return end === undefined || Buffer.compare(end, start) >= 0;
}

function later(a: Span, b: Span): Buffer | undefined {
  if (a.end === undefined || b.end === undefined) return undefined;
  return Buffer.compare(a.end, b.end) >= 0 ? a.end : b.end;
}
