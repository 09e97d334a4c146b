import type { ByteRange } from './records';

/** A piece of one document. */
export interface DocumentRange extends ByteRange {
  /** Index into the list of documents that was planned. */
  readonly document: number;
}

/** The input of one map task: pieces of one or more documents. */
export type Split = readonly DocumentRange[];

/** Bounds the message that assigns a split, when documents are tiny. */
const RANGES_PER_SPLIT_MAX = 1_000;

/**
 * Cuts documents into splits of at most `splitBytes`: a larger document becomes several, small ones share one. Where the cuts fall
 * does not matter to the result (`recordChunks`). Empty documents have no records and are left out.
 * Source: Dean & Ghemawat, OSDI 2004, §3.1 step 1 ("16–64 MB per piece"); sharing a split is Hadoop's CombineFileInputFormat.
 * @param sizes of the documents, in bytes
 */
export function planSplits(sizes: readonly number[], splitBytes: number): Split[] {
  const splits: DocumentRange[][] = [];
  let current: DocumentRange[] = [];
  let room = splitBytes;
  const close = (): void => {
    if (current.length > 0) splits.push(current);
    current = [];
    room = splitBytes;
  };
  sizes.forEach((size, document) => {
    for (let start = 0; start < size; start += splitBytes) {
      const end = Math.min(start + splitBytes, size);
      if (end - start > room || current.length === RANGES_PER_SPLIT_MAX) close();
      current.push({ document, start, end });
      room -= end - start;
    }
  });
  close();
  return splits;
}
