import { setImmediate } from 'node:timers/promises';
import { checkFreePages } from './free-pages';
import type { LmdbFile } from './lmdb-file';
import { currentHead, openStoreFile } from './store-file';
import { TreeCheck, type TreeVisitor } from './tree-check';

/** How long it keeps the event loop: at a start nobody is served yet. */
const TURN_MS = 10;
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

async function checkTree(check: TreeCheck): Promise<void> {
  let began = performance.now();
  for (const step of check.steps(undefined)) {
    if (step === undefined || performance.now() - began < TURN_MS) continue;
    await setImmediate();
    began = performance.now();
  }
  check.checkCounts();
}

async function readAhead(file: LmdbFile): Promise<void> {
  const chunk = Buffer.alloc(READ_AHEAD_BYTES);
  for (let offset = 0; file.read(chunk, offset) === chunk.length; offset += chunk.length) await setImmediate();
}
