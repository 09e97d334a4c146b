import { closeSync, openSync, readSync } from 'node:fs';
import { recordChunks, type RecordChunk, type Separators } from '@synod/mapreduce';
import { SynodError } from '@synod/runtime';
import type { SplitOrder } from './orders';
import type { SnapshotReader } from './snapshot-reader';

const LIMITS = {
  /** Large enough that system calls do not matter. */
  blockBytes: 1024 * 1024,
  /** A record must fit in memory as a whole; a quarter of an executor's heap. */
  recordBytesMax: 128 * 1024 * 1024,
};

/** Values are up to 1 MiB. */
const KEYS_AT_ONCE = 16;

type Visit = (document: Buffer, chunk: RecordChunk) => void;

/** Reads the records of a split, in chunks of whole records of one document each. */
export async function readSplit(
  split: SplitOrder,
  separators: Separators,
  snapshot: () => SnapshotReader,
  visit: Visit,
): Promise<void> {
  switch (split.kind) {
    case 'files':
      for (const range of split.ranges) readFileRange(Buffer.from(split.folder), range, separators, visit);
      return;
    case 'store':
      return readRows(split, snapshot(), visit);
  }
}

function readFileRange(
  folder: Buffer,
  range: (SplitOrder & { kind: 'files' })['ranges'][number],
  separators: Separators,
  visit: Visit,
): void {
  const document = Buffer.from(range.document);
  // Paths are bytes: a name that is not UTF-8 is a name all the same.
  const file = openSync(Buffer.concat([folder, document]), 'r');
  try {
    const source = {
      read: (offset: number, into: Uint8Array) => readSync(file, into, 0, into.length, offset),
    };
    for (const chunk of recordChunks(source, range, separators, LIMITS)) visit(document, chunk);
  } finally {
    closeSync(file);
  }
}

/** A value is a document; a split holds whole values, so there is nothing to align. */
async function readRows(split: SplitOrder & { kind: 'store' }, reader: SnapshotReader, visit: Visit): Promise<void> {
  const { readTs, start, end, keys } = split;
  if (keys.length > 0)
    return readKeys(
      keys.map((key) => Buffer.from(key)),
      readTs,
      reader,
      visit,
    );
  for await (const { key, value } of reader.rows({ start: Buffer.from(start), end: Buffer.from(end), readTs })) {
    if (value.length > 0) visit(key, { offset: 0, bytes: value });
  }
}

async function readKeys(keys: readonly Buffer[], readTs: bigint, reader: SnapshotReader, visit: Visit): Promise<void> {
  for (let at = 0; at < keys.length; at += KEYS_AT_ONCE) {
    const some = keys.slice(at, at + KEYS_AT_ONCE);
    const values = await reader.values(some, readTs);
    some.forEach((key, index) => {
      const value = values[index];
      if (value === undefined) throw new SynodError('corrupt', `the snapshot has lost the key ${key.toString()}`);
      if (value.length > 0) visit(key, { offset: 0, bytes: value });
    });
  }
}
