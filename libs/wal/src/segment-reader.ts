import type { DiskFile } from '@synod/runtime';
import { BATCH_HEADER_BYTES, BATCH_MAGIC, claimedSize, parseBatch, type Batch } from './batch';

const WINDOW_BYTES = 1 << 20;

/** Reads a segment from front to back through a window, so that small batches do not cost a disk call each. */
export class SegmentReader {
  private window: Buffer = Buffer.alloc(0);
  private windowOffset = 0;

  private constructor(
    private readonly file: DiskFile,
    private readonly segment: number,
    readonly size: number,
  ) {}

  static async of(file: DiskFile, segment: number): Promise<SegmentReader> {
    return new SegmentReader(file, segment, await file.size());
  }

  /** A view of up to `length` bytes; shorter only at the end of the file. */
  async bytes(offset: number, length: number): Promise<Buffer> {
    const from = offset - this.windowOffset;
    const wanted = Math.max(0, Math.min(length, this.size - offset));
    if (from >= 0 && from + wanted <= this.window.length) return this.window.subarray(from, from + wanted);
    this.window = await this.file.read(offset, Math.max(wanted, Math.min(WINDOW_BYTES, this.size - offset)));
    this.windowOffset = offset;
    return this.window.subarray(0, wanted);
  }

  /** The batch that begins at `offset`; undefined if none does, or not all of it is there. */
  async batchAt(offset: number): Promise<Batch | undefined> {
    const size = claimedSize(await this.bytes(offset, BATCH_HEADER_BYTES));
    if (size === undefined || offset + size > this.size) return undefined;
    return parseBatch(await this.bytes(offset, size), { segment: this.segment, offset });
  }

  /** Whether a whole batch stands anywhere at or after `offset`. */
  async holdsBatchFrom(offset: number): Promise<boolean> {
    let at = offset;
    while (at + BATCH_HEADER_BYTES <= this.size) {
      const bytes = await this.bytes(at, WINDOW_BYTES);
      const found = bytes.indexOf(BATCH_MAGIC);
      // A magic may lie across the end of the window: the next one begins just before it.
      if (found < 0) at += Math.max(1, bytes.length - BATCH_MAGIC.length + 1);
      else if ((await this.batchAt(at + found)) !== undefined) return true;
      else at += found + 1;
    }
    return false;
  }
}
