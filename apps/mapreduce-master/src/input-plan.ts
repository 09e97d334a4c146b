import { planSplits } from '@synod/mapreduce';
import { prefixEnd, SynodError } from '@synod/runtime';
import { findFiles } from './glob-walk';
import type { Input, JobSpec } from './job-spec';

/** The input of one map task. */
export type InputSplit =
  | {
      readonly kind: 'files';
      /** Absolute, with a slash at the end. */
      readonly folder: Buffer;
      readonly ranges: readonly { readonly document: Buffer; readonly start: number; readonly end: number }[];
    }
  /** The live keys in `[start, end)` as of a timestamp; an empty `end` is after every key. */
  | {
      readonly kind: 'store';
      readonly readTs: bigint;
      readonly start: Buffer;
      readonly end: Buffer;
      /** All of them, if they are few; else empty. */
      readonly keys: readonly Buffer[];
    };

export interface InputPlan {
  readonly splits: readonly InputSplit[];
  readonly documents: number;
  readonly bytes: number;
  /** Partitions that suit so much input. */
  readonly partitions: number;
}

/** The sharded store, as planning reads it. */
export interface SnapshotStore {
  /** A timestamp at or above everything that was acknowledged before the call. */
  openSnapshot(): Promise<bigint>;
  rows(range: {
    readonly prefix: Buffer;
    readonly readTs: bigint;
  }): AsyncIterable<{ readonly key: Buffer; readonly value: Buffer }>;
}

/** Input for which one reducer is enough. */
const BYTES_PER_PARTITION = 16 * 1024 * 1024;
const PARTITIONS_MAX = 256;
/** A split of no more keys is read key by key: a range would have to be searched for in every shard. */
const KEYS_MAX = 64;

/**
 * Lists the input and cuts it into splits.
 * @param readTs the pinned snapshot, for input from the store
 * @throws {SynodError} `not-found` if there is no input, naming what was looked for
 */
export function planInput(spec: JobSpec, store: SnapshotStore, readTs: bigint | undefined): Promise<InputPlan> {
  const { input, splitBytes } = spec;
  return input.kind === 'files' ? planFiles(input.glob, splitBytes) : planRows(input, splitBytes, store, readTs ?? 0n);
}

async function planFiles(glob: string, splitBytes: number): Promise<InputPlan> {
  const { folder, files } = await findFiles(glob);
  const splits = planSplits(
    files.map(({ size }) => size),
    splitBytes,
  ).map((split): InputSplit => {
    const ranges = split.map(({ document, start, end }) => ({
      document: (files[document] as { document: Buffer }).document,
      start,
      end,
    }));
    return { kind: 'files', folder, ranges };
  });
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  return { splits, documents: files.length, bytes, partitions: partitionsFor(bytes) };
}

/** Walks the snapshot once: where ranges of about a split's size begin depends on the values, which only the shards know. */
async function planRows(
  input: Input & { kind: 'store' },
  splitBytes: number,
  store: SnapshotStore,
  readTs: bigint,
): Promise<InputPlan> {
  const splits: { readonly start: Buffer; keys: Buffer[] }[] = [];
  let documents = 0;
  let bytes = 0;
  let room = 0;
  let count = 0;
  for await (const { key, value } of store.rows({ prefix: input.prefix, readTs })) {
    documents++;
    bytes += value.length;
    if (value.length > room || splits.length === 0) {
      splits.push({ start: key, keys: [] });
      room = splitBytes;
      count = 0;
    }
    room -= value.length;
    const split = splits.at(-1) as { keys: Buffer[] };
    split.keys = ++count > KEYS_MAX ? [] : [...split.keys, key];
  }
  if (documents === 0) {
    throw new SynodError('not-found', `no key of the store begins with ${JSON.stringify(input.prefix.toString())}`);
  }
  const last = prefixEnd(input.prefix) ?? Buffer.alloc(0);
  const ranges = splits.map(({ start, keys }, at): InputSplit => {
    return { kind: 'store', readTs, start, end: splits[at + 1]?.start ?? last, keys };
  });
  return { splits: ranges, documents, bytes, partitions: partitionsFor(bytes) };
}

function partitionsFor(bytes: number): number {
  return Math.min(PARTITIONS_MAX, Math.max(1, Math.ceil(bytes / BYTES_PER_PARTITION)));
}
