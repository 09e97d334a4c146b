import { firstSeparator, lastSeparator, type Separators } from './separators';

/** A document as positioned bytes. */
export interface ByteSource {
  /** Fills `into` from `offset` on. @returns how many bytes; 0 only at the end of the document */
  read(offset: number, into: Uint8Array): number;
}

/** `[start, end)` of a document, in bytes. Adjacent ranges tile it: together their records are exactly the document's. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** Some whole records, separators included; the very last of a document may lack its own. */
export interface RecordChunk {
  /** Where the chunk begins in the document. */
  readonly offset: number;
  /** A view of a buffer that is used again for the next chunk. */
  readonly bytes: Uint8Array;
}

export interface RecordLimits {
  /** How much is read at once. */
  readonly blockBytes: number;
  /** A longer record is refused: it has to be in memory as a whole. */
  readonly recordBytesMax: number;
}

/** A record that does not fit in memory. Names where it begins. */
export class RecordTooLongError extends Error {
  constructor(offset: number, limit: number) {
    super(`the record at byte ${offset} is longer than ${limit} bytes`);
    this.name = 'RecordTooLongError';
  }
}

/**
 * Reads the records that begin in a range, in chunks of whole records.
 *
 * The rule that makes ranges tile: a record belongs to the range that holds its first byte. A range that starts at `s > 0` skips
 * through the first separator at or after `s - 1`, so a record that begins exactly at `s` is kept; it reads on through the first
 * separator at or after `end - 1`, past its own end if need be. Only separators are looked at, so no multi-byte character is cut.
 */
export function* recordChunks(
  source: ByteSource,
  range: ByteRange,
  table: Separators,
  limits: RecordLimits,
): Generator<RecordChunk> {
  if (range.end <= range.start) return;
  let buffer = new Uint8Array(Math.min(limits.blockBytes, range.end - range.start + READ_PAST_BYTES));
  let skipping = range.start > 0;
  /** Offset in the document of the buffer's first byte. */
  let base = skipping ? range.start - 1 : 0;
  let filled = 0;
  for (;;) {
    const count = source.read(base + filled, buffer.subarray(filled));
    filled += count;
    let from = 0;
    if (skipping) {
      from = firstSeparator(buffer, 0, filled, table) + 1;
      if (from === 0) {
        if (count === 0) return;
        base += filled;
        filled = 0;
        continue;
      }
      skipping = false;
      if (base + from >= range.end) return;
    }
    const closing = firstSeparator(buffer, Math.max(from, range.end - 1 - base), filled, table);
    if (closing >= 0 || count === 0) {
      const end = closing >= 0 ? closing + 1 : filled;
      if (end > from) yield { offset: base + from, bytes: buffer.subarray(from, end) };
      return;
    }
    const cut = lastSeparator(buffer, from, filled, table) + 1;
    if (cut > from) {
      yield { offset: base + from, bytes: buffer.subarray(from, cut) };
      from = cut;
    }
    buffer.copyWithin(0, from, filled);
    base += from;
    filled -= from;
    if (filled === buffer.length) buffer = grown(buffer, base, limits);
  }
}

/** What a range usually has to read past its end to close its last record. */
const READ_PAST_BYTES = 4096;

function grown(buffer: Uint8Array, offset: number, limits: RecordLimits): Uint8Array<ArrayBuffer> {
  if (buffer.length >= limits.recordBytesMax) throw new RecordTooLongError(offset, limits.recordBytesMax);
  const larger = new Uint8Array(Math.min(buffer.length * 2, limits.recordBytesMax));
  larger.set(buffer);
  return larger;
}
