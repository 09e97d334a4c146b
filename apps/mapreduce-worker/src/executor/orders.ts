import type { AttemptId } from '@synod/mapreduce';

/** Which program an attempt runs. */
export type ProgramOrder =
  | { readonly kind: 'built-in'; readonly name: 'wordcount' | 'index' }
  /** A bundle that the daemon has fetched and verified. */
  | { readonly kind: 'user'; readonly path: string };

/** The input of a map attempt. Byte strings cross the process boundary as plain Uint8Arrays. */
export type SplitOrder =
  | {
      readonly kind: 'files';
      readonly folder: Uint8Array;
      readonly ranges: readonly { readonly document: Uint8Array; readonly start: number; readonly end: number }[];
    }
  /** The live keys in `[start, end)` as of a timestamp; an empty `end` is after every key. */
  | {
      readonly kind: 'store';
      readonly readTs: bigint;
      readonly start: Uint8Array;
      readonly end: Uint8Array;
      /** All of them, if they are few; else empty. */
      readonly keys: readonly Uint8Array[];
    };

/** Map outputs that one worker holds. */
export interface SourceOrder {
  readonly address: string;
  readonly attempts: readonly AttemptId[];
}

/** What the daemon tells an executor; one attempt at a time. */
export type Order =
  | {
      readonly kind: 'map';
      readonly attempt: AttemptId;
      readonly program: ProgramOrder;
      readonly partitions: number;
      readonly split: SplitOrder;
      /** Where the run file goes; names of spills begin with it. */
      readonly runFile: string;
    }
  | {
      readonly kind: 'reduce';
      readonly attempt: AttemptId;
      readonly program: ProgramOrder;
      readonly partition: number;
      readonly sources: readonly SourceOrder[];
      /** Path that names of scratch files begin with. */
      readonly scratchPrefix: string;
      readonly outputFile: string;
    };

/** What an executor says. Bulk data never passes here: it reads input and writes runs and parts itself. */
export type ExecutorReport =
  | { readonly kind: 'ready' }
  /** Work goes on: records or bytes handled so far in this attempt. */
  | { readonly kind: 'progress'; readonly records: number }
  | {
      readonly kind: 'map-finished';
      readonly counters: Readonly<Record<string, number>>;
      /** Where each partition begins in the run file, and where the last ends. */
      readonly offsets: readonly number[];
    }
  | { readonly kind: 'reduce-finished'; readonly counters: Readonly<Record<string, number>>; readonly bytes: number }
  | { readonly kind: 'failed'; readonly reason: string; readonly fatal: boolean }
  | { readonly kind: 'fetch-failed'; readonly sources: readonly AttemptId[]; readonly reason: string };
