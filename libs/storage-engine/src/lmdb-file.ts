import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { SynodError } from '@synod/runtime';

/**
 * LMDB's file as it lies on disk: pages of one size, the first two of which are its heads. Numbers are the machine's own, here those of a
 * little-endian one. A page of a tree begins with
 *
 * | at | size | |
 * | --- | --- | --- |
 * | 0 | 8 | its number |
 * | 8 | 8 | transaction that wrote it |
 * | 18 | 2 | kind |
 * | 20 | 2 | in a branch or leaf: bytes of its list of nodes |
 * | 22 | 2 | … and where its nodes begin, both counted from the end of this header |
 * | 20 | 4 | in an overflow: how many pages it takes, of which only the first has a header |
 *
 * and then has a list of places of nodes, 2 bytes each, in the order of their keys. A node has 8 bytes, then its key, then its value. Those 8 say
 * in a leaf the size of the value (4), flags (2) and the size of the key (2); in a branch the number of a page (6) and the size of the key (2).
 * The first key of a branch counts for nothing: that child begins where its parent does. A value that is too large for a page is one of 24 bytes
 * that names the overflow: first page, transaction, count of pages.
 */
const MAGIC = 0xbeefc0de;
const HEAD_BYTES = 168;
/** Of a page's header; without the transaction in builds of lmdb-js for the older format. */
export const HEADER_BYTES = 24;
const SHORT_HEADER_BYTES = 16;
export const NODE_BYTES = 8;
export const OVERFLOW_BYTES = 24;
export const PAGE = { branch: 0x01, leaf: 0x02, overflow: 0x04, meta: 0x08 } as const;
const KINDS = 0x0f;

/** One of the two B+trees of a version. */
export interface Tree {
  readonly name: 'free pages' | 'data';
  /** Levels; 0 of an empty one. */
  readonly depth: number;
  readonly branchPages: number;
  readonly leafPages: number;
  readonly overflowPages: number;
  readonly entries: number;
  /** Undefined if it is empty. */
  readonly root: number | undefined;
}

/** What a version of the file begins with. The one of the later transaction counts. */
export interface Head {
  readonly offset: number;
  readonly version: number;
  readonly pageBytes: number;
  readonly free: Tree;
  readonly data: Tree;
  /** Pages beyond were never used; those up to it need not all be in the file, if some are free. */
  readonly lastPage: number;
  readonly transaction: number;
}

/** Reads pages with system calls: a page that the disk does not give is an error (EIO), where the mapped file would end the process. */
export class LmdbFile {
  private constructor(
    readonly name: string,
    private readonly descriptor: number,
  ) {}

  /** @returns undefined if there is none */
  static open(name: string): LmdbFile | undefined {
    try {
      return new LmdbFile(name, openSync(name, 'r'));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  get size(): number {
    return fstatSync(this.descriptor).size;
  }

  /** @returns how many bytes there were */
  read(target: Buffer, offset: number): number {
    return readSync(this.descriptor, target, 0, target.length, offset);
  }

  /** Whether it was written by a build of lmdb-js with shorter headers. */
  get hasShortHeaders(): boolean {
    const bytes = Buffer.alloc(4);
    return this.read(bytes, SHORT_HEADER_BYTES) === 4 && bytes.readUInt32LE() === MAGIC;
  }

  /** @throws {SynodError} `corrupt` if there is none */
  head(offset: number): Head {
    const bytes = Buffer.alloc(HEAD_BYTES);
    if (this.read(bytes, offset) < HEAD_BYTES) throw this.harmed(offset, 'it ends within its head');
    if ((bytes.readUInt16LE(18) & PAGE.meta) === 0 || bytes.readUInt32LE(24) !== MAGIC) {
      throw this.harmed(offset, 'its head is not one of LMDB');
    }
    return {
      offset,
      version: bytes.readUInt16LE(28),
      pageBytes: bytes.readUInt32LE(48),
      free: treeAt(bytes, 48, 'free pages'),
      data: treeAt(bytes, 96, 'data'),
      lastPage: wordAt(bytes, 144),
      transaction: wordAt(bytes, 152),
    };
  }

  harmed(offset: number, what: string): SynodError {
    return new SynodError(
      'corrupt',
      `store: ${this.name} is corrupt at offset ${offset}: ${what}; restore this node's data folder, or replace the node`,
    );
  }

  close(): void {
    closeSync(this.descriptor);
  }
}

function treeAt(bytes: Buffer, at: number, name: Tree['name']): Tree {
  const root = bytes.readBigUInt64LE(at + 40);
  return {
    name,
    depth: bytes.readUInt16LE(at + 6),
    branchPages: wordAt(bytes, at + 8),
    leafPages: wordAt(bytes, at + 16),
    overflowPages: wordAt(bytes, at + 24),
    entries: wordAt(bytes, at + 32),
    root: root === 2n ** 64n - 1n ? undefined : Number(root),
  };
}

/** Of 8 bytes: exact below 2^53, which no sound number of a file exceeds. */
export function wordAt(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at + 4) * 2 ** 32 + bytes.readUInt32LE(at);
}

export function kindOf(page: Buffer): number {
  return page.readUInt16LE(18) & KINDS;
}
