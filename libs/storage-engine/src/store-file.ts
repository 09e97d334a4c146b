import { open, type FileHandle } from 'node:fs/promises';
import { endianness } from 'node:os';
import path from 'node:path';
import { SynodError } from '@synod/runtime';

/**
 * What LMDB goes by when it opens a file: two meta pages, of which the one of the later transaction counts, and the pages that it names as
 * roots. LMDB believes them, and a process that opens a file in which they are harmed dies in the midst of it; so they are looked at first.
 *
 * Numbers are the machine's own, here those of a little-endian one. In a page: number u64, transaction u64, pad u16, flags u16, bounds 2 × u16. A meta page goes on with
 *
 * | at | size | |
 * | --- | --- | --- |
 * | 24 | 4 | magic |
 * | 28 | 4 | version, in its lower half |
 * | 48 | 48 | tree of free pages; its first 4 bytes are the page size |
 * | 96 | 48 | tree of the data; a tree's last 8 bytes are the number of its root page, or all ones |
 * | 152 | 8 | transaction |
 */
const MAGIC = 0xbeefc0de;
const VERSION = 2;
const META_BYTES = 160;
const HEADER_BYTES = 24;
/** Without the transaction. */
const SHORT_HEADER_BYTES = 16;
const PAGE_META = 0x08;
const PAGE_BRANCH = 0x01;
const PAGE_LEAF = 0x02;
const PAGE_KINDS = 0x0f;
const PAGE_BYTES_MIN = 512;
const PAGE_BYTES_MAX = 65_536;
const NO_ROOT = 2n ** 64n - 1n;

interface Meta {
  readonly version: number;
  readonly pageBytes: number;
  readonly roots: readonly bigint[];
  readonly transaction: bigint;
}

/**
 * Looks at what a store's file is opened by. (LMDB keeps no checksums: what else may have changed in it shows only when it is read.)
 * @param folder of the store; one without a file, or with an empty one, is sound
 * @throws {SynodError} `corrupt`, naming file and offset; `failed-precondition` if another version of LMDB wrote it
 */
export async function checkStoreFile(folder: string): Promise<void> {
  const name = path.join(folder, 'data.mdb');
  const file = await openIfThere(name);
  if (file === undefined) return;
  try {
    const { size } = await file.stat();
    if (size > 0 && !(await isOfAnotherLayout(file))) await checkRoots(name, file, size);
  } finally {
    await file.close();
  }
}

/** Of another kind of machine, or of a build of lmdb-js with shorter pages' heads: those are LMDB's to judge. */
async function isOfAnotherLayout(file: FileHandle): Promise<boolean> {
  if (endianness() !== 'LE') return true;
  const bytes = await read(file, SHORT_HEADER_BYTES, 4);
  return bytes.length === 4 && bytes.readUInt32LE() === MAGIC;
}

async function checkRoots(name: string, file: FileHandle, size: number): Promise<void> {
  const first = await metaAt(name, file, 0);
  const { pageBytes } = first;
  const isPageSize = pageBytes >= PAGE_BYTES_MIN && pageBytes <= PAGE_BYTES_MAX && (pageBytes & (pageBytes - 1)) === 0;
  if (!isPageSize) throw harmed(name, 48, `a page of ${pageBytes} bytes is not possible`);
  const second = await metaAt(name, file, pageBytes);
  if (second.pageBytes !== pageBytes) throw harmed(name, pageBytes + 48, 'its two heads have pages of different sizes');
  if (first.version !== second.version) throw harmed(name, 28, 'its two heads are of different versions');
  if (first.version !== VERSION) {
    throw new SynodError(
      'failed-precondition',
      `store: ${name} has version ${first.version} of LMDB's format, this release reads ${VERSION}: start the release that wrote it`,
    );
  }
  const { roots } = second.transaction > first.transaction ? second : first;
  for (const root of roots) if (root !== NO_ROOT) await checkRoot(name, file, root, { pageBytes, size });
}

async function metaAt(name: string, file: FileHandle, offset: number): Promise<Meta> {
  const bytes = await read(file, offset, META_BYTES);
  if (bytes.length < META_BYTES) throw harmed(name, offset, 'it ends within its head');
  if ((bytes.readUInt16LE(18) & PAGE_META) === 0 || bytes.readUInt32LE(24) !== MAGIC) {
    throw harmed(name, offset, 'its head is not one of LMDB');
  }
  return {
    version: bytes.readUInt16LE(28),
    pageBytes: bytes.readUInt32LE(48),
    roots: [bytes.readBigUInt64LE(88), bytes.readBigUInt64LE(136)],
    transaction: bytes.readBigUInt64LE(152),
  };
}

async function checkRoot(
  name: string,
  file: FileHandle,
  root: bigint,
  { pageBytes, size }: { readonly pageBytes: number; readonly size: number },
): Promise<void> {
  const offset = Number(root) * pageBytes;
  if (offset + pageBytes > size) throw harmed(name, offset, `the root at page ${root} is beyond its end`);
  const header = await read(file, offset, HEADER_BYTES);
  const kind = header.readUInt16LE(18) & PAGE_KINDS;
  if (header.readBigUInt64LE(0) !== root || (kind !== PAGE_BRANCH && kind !== PAGE_LEAF)) {
    throw harmed(name, offset, 'no root page is there');
  }
}

async function read(file: FileHandle, offset: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset);
  return buffer.subarray(0, bytesRead);
}

async function openIfThere(name: string): Promise<FileHandle | undefined> {
  try {
    return await open(name, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function harmed(name: string, offset: number, what: string): SynodError {
  return new SynodError(
    'corrupt',
    `store: ${name} is corrupt at offset ${offset}: ${what}; restore this node's data folder, or replace the node`,
  );
}
