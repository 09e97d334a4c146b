import { fetchOutputs, type ShuffleClient } from './fetch-outputs';
import { FetchedRuns } from './fetched-runs';
import type { ExecutorReport, Order } from './orders';
import { forEachGroup, type EmitPair, type PairCursor } from './pairs';
import { PartFile } from './part-file';
import type { Program } from './program';
import { Sorter } from './sorter';

/** Memory for a reducer's output when it has to be sorted. */
const SORT_BUFFER_BYTES = 32 * 1024 * 1024;
/** Groups between two signs of life. */
const PROGRESS_GROUPS = 1_000;

export interface ReduceContext {
  readonly program: Program;
  readonly shuffle: ShuffleClient;
  readonly progress: (records: number) => void;
  readonly pause: (ms: number) => Promise<void>;
}

/**
 * One reduce attempt: fetches its partition of every map output, merges, reduces each key, and writes the part under the attempt's
 * own name. Source: Dean & Ghemawat, OSDI 2004, §3.1 steps 5 and 6, §3.3 (the part is made visible by the master alone).
 */
export async function runReduce(order: Order & { kind: 'reduce' }, context: ReduceContext): Promise<ExecutorReport> {
  const { program, progress } = context;
  const runs = new FetchedRuns(order.scratchPrefix);
  try {
    const fetched = await fetchOutputs(order.partition, order.sources, { ...context, runs });
    const part = new PartFile(order.outputFile);
    let pairs = 0;
    const merged = runs.merged(() => {
      if (++pairs % PROGRESS_GROUPS === 0) progress(pairs);
    });
    const groups = program.keepsKeys
      ? reduceAll(program, merged, (key, value) => part.add(key, value))
      : reduceSorted(program, merged, order.scratchPrefix, (key, value) => part.add(key, value));
    part.finish();
    const counters = {
      'shuffle-bytes': fetched,
      'reduce-input-pairs': pairs,
      'reduce-groups': groups,
      'output-lines': part.lines,
      'output-bytes': part.bytes,
    };
    return { kind: 'reduce-finished', counters, bytes: part.bytes };
  } finally {
    runs.release();
  }
}

function reduceAll(program: Program, pairs: PairCursor, emit: EmitPair): number {
  return forEachGroup(pairs, (key, values) => program.reduce(key, values, emit));
}

/** A reducer may emit under any key; the part is in order of keys all the same. */
function reduceSorted(program: Program, pairs: PairCursor, scratchPrefix: string, emit: EmitPair): number {
  const sorter = new Sorter({
    partitions: 1,
    folding: 'all',
    combine: undefined,
    bufferBytes: SORT_BUFFER_BYTES,
    spillPrefix: `${scratchPrefix}.output`,
  });
  try {
    const groups = reduceAll(program, pairs, (key, value) => sorter.add(key, 0, key.length, value));
    const sorted = sorter.merged();
    while (sorted.advance()) {
      const { bytes, keyStart, keyEnd, valueStart, valueEnd } = sorted;
      emit(bytes.subarray(keyStart, keyEnd), bytes.subarray(valueStart, valueEnd));
    }
    return groups;
  } finally {
    sorter.release();
  }
}
