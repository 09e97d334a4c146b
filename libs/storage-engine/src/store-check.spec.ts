import { copyFile, mkdtemp, open, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { checkStorePages, openStore, type LmdbStore } from './index';
import { currentHead, lookAtStoreFile } from './store-file';
import { TreeCheck } from './tree-check';

const PAGE_BYTES = 4_096;

/** Where the pages of the newest version are, by what they are. */
interface Pages {
  readonly branch: readonly number[];
  readonly leaf: readonly number[];
  readonly overflow: readonly number[];
  readonly free: readonly number[];
}

describe('the pages of a store', () => {
  let folder: string;
  let file: string;
  let whole: Buffer;
  let pages: Pages;

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'synod-pages-'));
    file = path.join(folder, 'data.mdb');
    const store = await openStore({ folder });
    for (let round = 0; round < 4; round++) {
      fill(store, round);
      await store.flush();
    }
    await store.close();
    whole = await readFile(file);
    pages = listPages();
  });
  beforeEach(() => writeFile(file, whole));
  afterEach(() => jest.restoreAllMocks());
  afterAll(() => rm(folder, { recursive: true }));

  /** Enough for two levels of branches; some values that take pages of their own, and some keys that go again. */
  function fill(store: LmdbStore, round: number): void {
    store.transaction((transaction) => {
      for (let key = 0; key < 4_000; key++) {
        const name = Buffer.from(`${'k'.repeat(40)}${key}`);
        if (round > 0 && key % 7 === round) transaction.remove(name);
        else transaction.put(name, Buffer.alloc(key % 500 === round ? 10_000 : key % 97, round));
      }
    });
  }

  function listPages(): Pages {
    const found = { branch: [] as number[], leaf: [] as number[], overflow: [] as number[], free: [] as number[] };
    lookAtStoreFile(folder, (store) => {
      const head = currentHead(store);
      const page = (number: number): void => {
        const kind = whole.readUInt16LE(number * PAGE_BYTES + 18) & 0x0f;
        (kind === 1 ? found.branch : kind === 2 ? found.leaf : found.overflow).push(number);
      };
      Array.from(new TreeCheck(store, head, head.data, { page }).steps(undefined));
      Array.from(new TreeCheck(store, head, head.free, { page: (number) => found.free.push(number) }).steps(undefined));
    });
    return found;
  }

  async function overwrite(offset: number, bytes: Uint8Array): Promise<void> {
    const handle = await open(file, 'r+');
    await handle.write(bytes, 0, bytes.length, offset);
    await handle.close();
  }

  async function flip(offset: number, bits: number): Promise<void> {
    await overwrite(offset, Buffer.from([whole[offset]! ^ bits]));
  }

  const isNamed = (): Promise<void> =>
    expect(checkStorePages(folder)).rejects.toMatchObject({
      kind: 'corrupt',
      message: expect.stringMatching(/store: .*data\.mdb is corrupt at offset \d+: /) as string,
    });

  /** The `nth` node of a page: where its head is in the file. */
  function nodeAt(page: number, nth: number): number {
    const offset = page * PAGE_BYTES + 24;
    return offset + whole.readUInt16LE(offset + 2 * nth);
  }

  it('are sound as LMDB leaves them', async () => {
    expect(pages.branch.length).toBeGreaterThan(2);
    expect(pages.overflow.length).toBeGreaterThan(2);
    expect(pages.free.length).toBeGreaterThan(0);
    await checkStorePages(folder);
  });

  it('are missed when the file is cut short, wherever', async () => {
    const last = Math.max(...pages.branch, ...pages.leaf, ...pages.overflow, ...pages.free);
    for (const bytes of [
      100,
      5_000,
      PAGE_BYTES * 2,
      (last * PAGE_BYTES) >> 1,
      last * PAGE_BYTES,
      last * PAGE_BYTES + 100,
    ]) {
      await truncate(file, bytes);
      await isNamed();
      await writeFile(file, whole);
    }
  });

  // The pages behind are free: LMDB counts them, and writes them before it reads them.
  it('may end before the last one that is counted', async () => {
    const needed = Math.max(...pages.branch, ...pages.leaf, ...pages.overflow, ...pages.free) + 3;
    await truncate(file, needed * PAGE_BYTES);
    await checkStorePages(folder);
  });

  it.each(['branch', 'leaf', 'overflow', 'free'] as const)('are found when a %s page is all zeros', async (kind) => {
    await overwrite(pages[kind].at(-1)! * PAGE_BYTES, Buffer.alloc(PAGE_BYTES));
    await isNamed();
  });

  it.each(['branch', 'leaf'] as const)('are found when a %s page is what another one was', async (kind) => {
    const [one, other] = [pages[kind].at(-1)!, pages[kind].at(-2)!];
    const foreign = Buffer.from(whole.subarray(other * PAGE_BYTES, (other + 1) * PAGE_BYTES));
    foreign.writeUInt32LE(one, 0);
    await overwrite(one * PAGE_BYTES, foreign);
    await isNamed();
  });

  it.each([
    ['where a node of a branch leads', () => nodeAt(pages.branch.at(-1)!, 2)],
    ['the size of a key in a branch', () => nodeAt(pages.branch.at(-1)!, 2) + 6],
    ['where a node of a leaf is', () => pages.leaf[5]! * PAGE_BYTES + 26],
    ['the size of a value', () => nodeAt(pages.leaf[5]!, 1)],
    ['the flags of a node', () => nodeAt(pages.leaf[5]!, 1) + 4],
    ['the first byte of a key', () => nodeAt(pages.leaf[5]!, 1) + 8],
    ['the count of nodes', () => pages.leaf[5]! * PAGE_BYTES + 20],
    ['how many pages an overflow takes', () => pages.overflow[0]! * PAGE_BYTES + 20],
    ['the transaction of a page', () => pages.leaf[5]! * PAGE_BYTES + 12],
    ['the list of free pages', () => nodeAt(pages.free[0]!, 0) + 16 + 9],
  ])('are found when a bit has changed in %s', async (_, place) => {
    await flip(place(), 0x02);
    await isNamed();
  });

  it('are found when an old version claims to be the newest', async () => {
    const newest = whole.readUInt32LE(PAGE_BYTES + 152) > whole.readUInt32LE(152) ? PAGE_BYTES : 0;
    await flip(PAGE_BYTES - newest + 152, 0x40);
    await isNamed();
  });

  /** How far a step comes is then no matter of how fast the machine is. */
  function lookTakesMs(ms: number): void {
    let now = performance.now();
    jest.spyOn(performance, 'now').mockImplementation(() => (now += ms));
  }

  it('are looked at step by step while the store is in use, whatever is written meanwhile', async () => {
    const store = await openStore({ folder });
    lookTakesMs(0.1);
    try {
      for (let round = 0; round < 3; round++) {
        let steps = 0;
        let from: Buffer | undefined;
        do {
          from = store.checkPages(from);
          fill(store, (steps + round) % 4);
          if (steps++ % 2 === 0) await store.flush();
        } while (from !== undefined && steps < 100);
        expect(steps).toBeGreaterThan(1);
        expect(steps).toBeLessThan(100);
      }
    } finally {
      await store.close();
    }
  });

  it('are found in the step that comes to them while the store is in use', async () => {
    const store = await openStore({ folder });
    lookTakesMs(0.1);
    try {
      const second = store.checkPages(undefined);
      await overwrite(pages.leaf.at(-1)! * PAGE_BYTES, Buffer.alloc(PAGE_BYTES));
      expect(() => {
        for (let from = second; from !== undefined;) from = store.checkPages(from);
      }).toThrow(`page ${pages.leaf.at(-1)!} of its tree of data: no leaf page is there`);
    } finally {
      await store.close();
    }
  });

  // What ends a process is a page that LMDB follows to where there is nothing. Should one of these be missed, this process ends too.
  it('are read without a signal when they passed, whatever bit has changed', async () => {
    const used = [0, 1, ...pages.branch, ...pages.leaf, ...pages.overflow, ...pages.free];
    const copy = await mkdtemp(path.join(tmpdir(), 'synod-pages-'));
    let seed = 7;
    const below = (bound: number): number => (seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0) % bound;
    let found = 0;
    for (let round = 0; round < 60; round++) {
      // More of them where the structure is: in the heads of pages and the lists of nodes.
      await flip(used[below(used.length)]! * PAGE_BYTES + below(round % 3 === 0 ? PAGE_BYTES : 64), 1 << below(8));
      const harm = await checkStorePages(folder).catch((error: unknown) => error);
      if (harm !== undefined) found++;
      else {
        await copyFile(file, path.join(copy, 'data.mdb'));
        const store = await openStore({ folder: copy });
        for (const { value } of store.range({ start: Buffer.alloc(0), end: Buffer.from([255]) })) value.at(-1);
        await store.close();
        await rm(path.join(copy, 'lock.mdb'));
      }
      await writeFile(file, whole);
    }
    await rm(copy, { recursive: true });
    expect(found).toBeGreaterThan(25);
  });
});
