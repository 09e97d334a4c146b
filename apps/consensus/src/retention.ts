/** How much history the automatic compaction keeps. */
export type Retention =
  { readonly mode: 'periodic'; readonly periodUs: number } | { readonly mode: 'revision'; readonly revisions: number };

const UNIT_US: Readonly<Record<string, number>> = {
  ns: 0.001,
  us: 1,
  µs: 1,
  ms: 1_000,
  s: 1_000_000,
  m: 60_000_000,
  h: 3_600_000_000,
};

/**
 * Reads etcd's two settings together: a number is hours or revisions by the mode, and a duration is one of Go's, such as `1h30m`.
 * @returns undefined if nothing is to be compacted
 * @throws {RangeError} if revisions are given as a duration
 */
export function readRetention(mode: 'periodic' | 'revision', text: string): Retention | undefined {
  const plain = /^\d+$/.test(text);
  if (mode === 'revision' && !plain) throw new RangeError('a number of revisions is wanted');
  if (plain && Number(text) === 0) return undefined;
  if (mode === 'revision') return { mode, revisions: Number(text) };
  return { mode, periodUs: plain ? Number(text) * (UNIT_US['h'] ?? 0) : durationUs(text) };
}

function durationUs(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)];
  return parts.reduce((sum, [, count, unit = '']) => sum + Number(count) * (UNIT_US[unit] ?? 0), 0);
}
