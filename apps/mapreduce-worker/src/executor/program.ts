import type { RecordChunk, Separators } from '@synod/mapreduce';
import type { Folding } from './pair-buffer';
import type { EmitPair, GroupFunction } from './pairs';

/** Where a map puts its pairs. Bytes are copied at once. */
export interface PairSink {
  add(keyBytes: Uint8Array, keyStart: number, keyEnd: number, value: Uint8Array): void;
  /** For programs that fold by `count`. */
  addCount(keyBytes: Uint8Array, keyStart: number, keyEnd: number, count: number): void;
}

/** A program as the engine runs it, on bytes. */
export interface Program {
  /** What ends a record: a range of a document is cut there. */
  readonly separators: Separators;
  readonly folding: Folding;
  /** Handles a chunk of whole records of one document. @returns how many pairs it emitted */
  map(document: Buffer, chunk: RecordChunk, sink: PairSink): number;
  readonly combine: GroupFunction | undefined;
  readonly reduce: (key: Buffer, values: Parameters<GroupFunction>[1], emit: EmitPair) => void;
  /** Whether `reduce` emits only under the key it is given, so that its output is in order as it comes. */
  readonly keepsKeys: boolean;
}
