import type { ExecutorReport, Order } from './orders';
import type { Program } from './program';
import type { SnapshotReader } from './snapshot-reader';
import { Sorter } from './sorter';
import { readSplit } from './split-input';

/** Memory for emitted pairs, before they are spilled. */
const SORT_BUFFER_BYTES = 32 * 1024 * 1024;

/** What a task needs from the process it runs in. */
export interface MapContext {
  readonly program: Program;
  readonly snapshot: () => SnapshotReader;
  readonly progress: (records: number) => void;
  readonly sortBufferBytes?: number;
}

/**
 * One map attempt: reads its split, maps each record, and leaves one run file with the pairs by partition, sorted and combined.
 * Source: Dean & Ghemawat, OSDI 2004, §3.1 steps 3 and 4, §4.3 (combiner).
 */
export async function runMap(order: Order & { kind: 'map' }, context: MapContext): Promise<ExecutorReport> {
  const { program, progress } = context;
  const sorter = new Sorter({
    partitions: order.partitions,
    folding: program.folding,
    combine: program.combine,
    bufferBytes: context.sortBufferBytes ?? SORT_BUFFER_BYTES,
    spillPrefix: order.runFile,
  });
  let inputBytes = 0;
  let pairs = 0;
  try {
    await readSplit(order.split, program.separators, context.snapshot, (document, chunk) => {
      inputBytes += chunk.bytes.length;
      pairs += program.map(document, chunk, sorter);
      progress(pairs);
    });
    const run = sorter.writeRun(order.runFile);
    const counters = {
      'map-input-bytes': inputBytes,
      'map-output-pairs': pairs,
      'map-written-pairs': run.pairs,
      'map-written-bytes': run.offsets.at(-1) ?? 0,
      spills: sorter.spillCount,
    };
    return { kind: 'map-finished', counters, offsets: run.offsets };
  } finally {
    sorter.release();
  }
}
