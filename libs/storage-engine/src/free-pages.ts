import { wordAt, type Head, type LmdbFile } from './lmdb-file';

/** A version of a store, all of whose trees have been walked. */
export interface WalkedVersion {
  readonly file: LmdbFile;
  readonly head: Head;
  /** For each page whether a tree holds it. */
  readonly used: Uint8Array;
}

/**
 * That no page is free which a tree holds, or which there is not: the next transaction would write over it. A list begins with the count
 * of what follows, 8 bytes each: the number of a page; or 0, of which nothing is left; or how many pages lie together, negative, and then the first.
 * @throws {SynodError} `corrupt`, naming file and offset
 */
export function checkFreePages(list: Buffer, { file, head, used }: WalkedVersion): void {
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
