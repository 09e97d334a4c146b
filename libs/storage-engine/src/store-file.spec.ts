import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { checkStoreFile, openStore } from './index';

describe('the file of a store', () => {
  let folder: string;
  let file: string;

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'synod-store-'));
    file = path.join(folder, 'data.mdb');
  });
  afterEach(() => rm(folder, { recursive: true }));

  /** Several transactions, so that both heads have been written. */
  async function fill(): Promise<void> {
    const store = await openStore({ folder });
    for (let round = 0; round < 3; round++) {
      store.transaction((transaction) => {
        for (let key = 0; key < 500; key++) transaction.put(Buffer.from(`k${key}`), Buffer.alloc(100, round));
      });
      await store.flush();
    }
    await store.close();
  }

  /** Where the tree of the data begins, by the head that counts. */
  async function rootOffset(): Promise<number> {
    const bytes = await readFile(file);
    const head = bytes.readBigUInt64LE(4_096 + 152) > bytes.readBigUInt64LE(152) ? 4_096 : 0;
    return Number(bytes.readBigUInt64LE(head + 136)) * 4_096;
  }

  async function flip(offset: number, bits: number): Promise<void> {
    const bytes = await readFile(file);
    bytes[offset]! ^= bits;
    await writeFile(file, bytes);
  }

  it('is sound when it is missing, empty, new or used', async () => {
    checkStoreFile(folder);
    await writeFile(file, '');
    checkStoreFile(folder);
    await (await openStore({ folder })).close();
    checkStoreFile(folder);
    await fill();
    checkStoreFile(folder);
  });

  // LMDB opens such a file and takes the process with it.
  it.each([
    ['magic of the first head', 24, 0x55],
    ['magic of the second head', 4_096 + 24, 0x55],
    ['kind of the first head', 18, 0x08],
    ['page size', 49, 0x10],
    ['page size of the second head', 4_096 + 49, 0x10],
    ['version of one head', 28, 0x01],
  ])('is refused with the place when bits have changed in the %s', async (_, offset, bits) => {
    await fill();
    await flip(offset, bits);
    await expect(openStore({ folder })).rejects.toMatchObject({
      kind: 'corrupt',
      message: expect.stringMatching(/store: .*data\.mdb is corrupt at offset \d+/) as string,
    });
  });

  it.each([
    ['number', 0],
    ['kind', 18],
  ])('is refused when the %s of a root page has changed', async (_, at) => {
    await fill();
    await flip((await rootOffset()) + at, 0x07);
    await expect(openStore({ folder })).rejects.toThrow('no root page is there');
  });

  it('is refused when it ends before a root, or within its head', async () => {
    await fill();
    await truncate(file, Math.max(2 * 4_096, await rootOffset()));
    await expect(openStore({ folder })).rejects.toThrow('is beyond its end');
    await truncate(file, 100);
    await expect(openStore({ folder })).rejects.toThrow('ends within its head');
  });

  it('is left to another version of LMDB', async () => {
    await fill();
    for (const head of [0, 4_096]) await flip(head + 28, 0x01);
    await expect(openStore({ folder })).rejects.toMatchObject({ kind: 'failed-precondition' });
  });
});
