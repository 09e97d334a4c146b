import { setImmediate } from 'node:timers/promises';
import { SynodError } from '@synod/runtime';
import { wordAt, type Head, type LmdbFile } from './lmdb-file';
import { currentHead, lookAtStoreFile, openStoreFile } from './store-file';
import { TreeCheck, type TreeVisitor } from './tree-check';

/** How long it keeps the event loop at a start, when nobody is served yet, and while the store is in use. */
const TURN_MS = 10;
const STEP_MS = 2;
/** A disk gives a file faster from its beginning to its end than page by page in the order of keys. */
const READ_AHEAD_BYTES = 4 << 20;

/**
 * Looks at every page of a store's file that its newest version is made of, with nobody writing to it. What is wrong in the places, bounds, order
 * or number of pages, nodes and keys is found, and so is a file that was cut short; not what changed within a value, or so within a key that
 * its order is the same.
 *
 * Invariant `pages-are-whole`: whoever opens a file that passed follows no page to where there is none, in the trees or in the list of free pages.
 * The length of the file alone would say nothing: LMDB's pages may end before the last one that it counts, if those behind are free.
 * @param folder of the store; one without a file, or with an empty one, is sound
 * @throws {SynodError} as `checkStoreFile`
 */
export async function checkStorePages(folder: string): Promise<void> {
  const file = openStoreFile(folder);
  try {
    if (file !== undefined) await checkAllPages(file);
  } finally {
    file?.close();
  }
}

async function checkAllPages(file: LmdbFile): Promise<void> {
  const head = currentHead(file);
  await readAhead(file);
  const used = new Uint8Array(head.lastPage + 1);
  const page: TreeVisitor['page'] = (number, count) => {
    for (let each = number; each < number + count; each++) {
      if (used[each] === 1) throw file.harmed(each * head.pageBytes, `its trees name page ${each} twice`);
      used[each] = 1;
    }
  };
  const free: Buffer[] = [];
  await checkTree(new TreeCheck(file, head, head.data, { page }));
  await checkTree(new TreeCheck(file, head, head.free, { page, entry: ({ value }) => free.push(Buffer.from(value)) }));
  for (const list of free) checkFreePages(list, { file, head, used });
}

/** A head is read while another may be written: what is harmed is so whenever it is looked at. */
const LOOKS = 3;

/**
 * Looks at some of the data's pages, in the newest version.
 * @param from where they begin; undefined for the first
 * @returns where the next ones begin; undefined after the last
 * @throws {SynodError} as `checkStoreFile`
 */
export function checkPagesFrom(folder: string, from: Buffer | undefined): Buffer | undefined {
  for (let look = 1; ; look++) {
    try {
      return lookAtStoreFile(folder, (file) => {
        const head = currentHead(file);
        const until = performance.now() + STEP_MS;
        for (const next of new TreeCheck(file, head, head.data).steps(from))
          if (next !== undefined && performance.now() >= until) return Buffer.from(next);
        return undefined;
      });
    } catch (error) {
      if (look === LOOKS || !(error instanceof SynodError)) throw error;
    }
  }
}

async function checkTree(check: TreeCheck): Promise<void> {
  let began = performance.now();
  for (const step of check.steps(undefined)) {
    if (step === undefined || performance.now() - began < TURN_MS) continue;
    await setImmediate();
    began = performance.now();
  }
  check.checkCounts();
}

interface Version {
  readonly file: LmdbFile;
  readonly head: Head;
  /** For each page whether a tree holds it. */
  readonly used: Uint8Array;
}

/**
 * That no page is free which a tree holds, or which there is not: the next transaction would write over it. A list begins with the count
 * of what follows, 8 bytes each: the number of a page; or 0, of which nothing is left; or how many pages lie together, negative, and then the first.
 */
function checkFreePages(list: Buffer, { file, head, used }: Version): void {
  const words = list.length / 8;
  const count = list.length < 8 ? NaN : wordAt(list, 0);
  const harmed = (what: string): Error =>
    file.harmed(head.free.root! * head.pageBytes, `its list of free pages ${what}`);
  if (!Number.isInteger(words) || !(count < words))
    throw harmed(`of ${list.length} bytes says that it has ${count} entries`);
  for (let index = 1; index <= count; index++) {
    let entry = Number(list.readBigInt64LE(index * 8));
    let pages = 1;
    if (entry < 0 && index < count) {
      pages = -entry;
      entry = Number(list.readBigInt64LE(++index * 8));
    }
    if (entry === 0) continue;
    if (entry < 2 || entry + pages - 1 > head.lastPage)
      throw harmed(`names ${pages} from ${entry} on, which there are not`);
    for (let page = entry; page < entry + pages; page++)
      if (used[page] === 1) throw harmed(`names ${page}, which is in use`);
  }
}

async function readAhead(file: LmdbFile): Promise<void> {
  const chunk = Buffer.alloc(READ_AHEAD_BYTES);
  for (let offset = 0; file.read(chunk, offset) === chunk.length; offset += chunk.length) await setImmediate();
}
