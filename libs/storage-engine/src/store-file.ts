import { endianness } from 'node:os';
import path from 'node:path';
import { SynodError } from '@synod/runtime';
import { HEADER_BYTES, kindOf, LmdbFile, PAGE, wordAt, type Head } from './lmdb-file';

const VERSION = 2;
const PAGE_BYTES_MIN = 512;
const PAGE_BYTES_MAX = 65_536;
/** No store has more: 8 TiB of the smallest pages that are in use. */
const PAGES_MAX = 2 ** 31;

/**
 * Looks at what a store's file is opened by: its two heads, and the pages that they name as roots. LMDB believes them, and a process that
 * opens a file in which they are harmed dies in the midst of it. (For all that lies below the roots: `checkStorePages`.)
 * @param folder of the store; one without a file, or with an empty one, is sound
 * @throws {SynodError} `corrupt`, naming file and offset; `failed-precondition` if another version of LMDB wrote it
 */
export function checkStoreFile(folder: string): void {
  lookAtStoreFile(folder, currentHead);
}

/** @returns undefined, without a look, if there is nothing that can be judged */
export function lookAtStoreFile<T>(folder: string, look: (file: LmdbFile) => T): T | undefined {
  const file = openStoreFile(folder);
  try {
    return file && look(file);
  } finally {
    file?.close();
  }
}

/** @returns undefined if there is nothing to look at: no file, an empty one, or one that LMDB alone can judge */
export function openStoreFile(folder: string): LmdbFile | undefined {
  const file = LmdbFile.open(path.join(folder, 'data.mdb'));
  // Of another kind of machine, or of a build of lmdb-js with shorter heads of pages.
  if (file === undefined || (file.size > 0 && endianness() === 'LE' && !file.hasShortHeaders)) return file;
  file.close();
  return undefined;
}

/**
 * What the newest version in the file begins with.
 * @throws {SynodError} as `checkStoreFile`
 */
export function currentHead(file: LmdbFile): Head {
  const first = file.head(0);
  const { pageBytes } = first;
  const isPageSize = pageBytes >= PAGE_BYTES_MIN && pageBytes <= PAGE_BYTES_MAX && (pageBytes & (pageBytes - 1)) === 0;
  if (!isPageSize) throw file.harmed(48, `a page of ${pageBytes} bytes is not possible`);
  const second = file.head(pageBytes);
  if (second.pageBytes !== pageBytes) throw file.harmed(pageBytes + 48, 'its two heads have pages of different sizes');
  if (first.version !== second.version) throw file.harmed(28, 'its two heads are of different versions');
  if (first.version !== VERSION) {
    throw new SynodError(
      'failed-precondition',
      `store: ${file.name} has version ${first.version} of LMDB's format, this release reads ${VERSION}: start the release that wrote it`,
    );
  }
  // They are written in turns; else a bit that changed in one could make an old version the newest.
  if (Math.abs(first.transaction - second.transaction) > 1) {
    throw file.harmed(152, `its two heads are of transactions ${first.transaction} and ${second.transaction}`);
  }
  const head = second.transaction > first.transaction ? second : first;
  if (head.lastPage > PAGES_MAX) throw file.harmed(head.offset + 144, `it counts ${head.lastPage} pages`);
  for (const { root } of [head.free, head.data]) if (root !== undefined) checkRoot(file, root, pageBytes);
  return head;
}

function checkRoot(file: LmdbFile, root: number, pageBytes: number): void {
  const offset = root * pageBytes;
  if (offset + pageBytes > file.size) throw file.harmed(offset, `the root at page ${root} is beyond its end`);
  const header = Buffer.alloc(HEADER_BYTES);
  file.read(header, offset);
  const kind = kindOf(header);
  if (wordAt(header, 0) !== root || (kind !== PAGE.branch && kind !== PAGE.leaf)) {
    throw file.harmed(offset, 'no root page is there');
  }
}
