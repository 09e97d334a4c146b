import {
  HEADER_BYTES,
  NODE_BYTES,
  OVERFLOW_BYTES,
  PAGE,
  wordAt,
  type Head,
  type LmdbFile,
  type Tree,
} from './lmdb-file';

/** Of a leaf's node: its value lies in an overflow. The other flags are of values that are trees, which a store has none of. */
const IN_OVERFLOW = 0x01;

/** Which keys a page may hold. Absent ends are open. */
interface Bounds {
  readonly start?: Buffer;
  readonly end?: Buffer;
}

export interface EntryPlace {
  readonly offset: number;
  readonly key: Buffer;
  readonly value: Buffer;
}

export interface TreeVisitor {
  /** Told of every run of pages of the tree, before its contents are looked at. */
  page?(number: number, count: number): void;
  /** Both buffers are used again for the next one. */
  entry?(entry: EntryPlace): void;
}

/**
 * Looks at the pages of one tree in one version of LMDB's file, in the order of the keys: that each is where its parent says and of the right
 * kind, within the file and no newer than the version; that its nodes fill it exactly; that keys ascend and are those that its parent leaves to it.
 * Who follows a page that is wrong in one of these runs off the mapped file, or reads what is not there.
 */
export class TreeCheck {
  readonly counts = { branchPages: 0, leafPages: 0, overflowPages: 0, entries: 0 };
  private readonly leafPage: Page;
  private overflow = Buffer.alloc(0);
  private readonly fileBytes: number;

  constructor(
    private readonly file: LmdbFile,
    private readonly head: Head,
    private readonly tree: Tree,
    private readonly visitor: TreeVisitor = {},
  ) {
    this.leafPage = new Page(head.pageBytes);
    this.fileBytes = file.size;
  }

  /**
   * Looks at one leaf after the other.
   * @param from leaves of smaller keys may be left out
   * @yields where the next leaves begin; undefined after the last
   * @throws {SynodError} `corrupt`, with the place
   */
  *steps(from: Buffer | undefined): Generator<Buffer | undefined, void, void> {
    const { root, depth } = this.tree;
    if (root === undefined) return;
    if (depth === 0) throw this.file.harmed(this.head.offset, `its tree of ${this.tree.name} has a root and no depth`);
    if (depth > 1) yield* this.below(root, depth, {}, from);
    else {
      this.leaf(root, {});
      yield undefined;
    }
  }

  /** After all steps from the first key on. @throws {SynodError} `corrupt` if there is more or less than the head says */
  checkCounts(): void {
    for (const [what, count] of Object.entries(this.counts)) {
      const told = this.tree[what as keyof typeof this.counts];
      if (told === count) continue;
      throw this.file.harmed(
        this.head.offset,
        `its tree of ${this.tree.name} has ${count} ${WORDS[what]!}, not ${told}`,
      );
    }
  }

  private *below(
    number: number,
    depth: number,
    bounds: Bounds,
    from: Buffer | undefined,
  ): Generator<Buffer | undefined, void, void> {
    const page = new Page(this.head.pageBytes);
    this.load(page, number, PAGE.branch, bounds);
    this.counts.branchPages++;
    let end = bounds.start;
    for (let index = 0; index < page.count; index++) {
      const start = end;
      end = index + 1 < page.count ? page.key(index + 1) : bounds.end;
      if (from !== undefined && end !== undefined && this.isBefore(end, from)) continue;
      const within = { ...(start === undefined ? {} : { start }), ...(end === undefined ? {} : { end }) };
      if (depth > 2) yield* this.below(page.child(index), depth - 1, within, from);
      else {
        this.leaf(page.child(index), within);
        yield end;
      }
    }
  }

  /** Whether keys below the one are of no interest to who looks from the other on. */
  private isBefore(end: Buffer, from: Buffer): boolean {
    return Buffer.compare(end, from) <= 0;
  }

  private leaf(number: number, bounds: Bounds): void {
    const page = this.leafPage;
    this.load(page, number, PAGE.leaf, bounds);
    this.counts.leafPages++;
    this.counts.entries += page.count;
    const { visitor } = this;
    for (let index = 0; index < page.count; index++) {
      if (page.isInOverflow(index)) this.readOverflow(page, index);
      if (visitor.entry === undefined) continue;
      const value = page.isInOverflow(index)
        ? this.overflow.subarray(HEADER_BYTES, HEADER_BYTES + page.valueBytes(index))
        : page.value(index);
      visitor.entry({ offset: this.offsetOf(number) + page.place(index), key: page.key(index), value });
    }
  }

  private readOverflow(page: Page, index: number): void {
    const { pageBytes } = this.head;
    const named = page.value(index);
    const number = wordAt(named, 0);
    const count = wordAt(named, 16);
    const bytes = page.valueBytes(index);
    // There may be more than it needs: a value that gets shorter within one transaction stays where it is.
    if (count < Math.ceil((HEADER_BYTES + bytes) / pageBytes) || count > this.head.lastPage) {
      throw this.harmedPage(page.number, `its node ${index} has ${count} pages for ${bytes} bytes`);
    }
    // Of a value that nobody takes only the header is looked at: values are most of a file, and may be large.
    const wanted = this.visitor.entry === undefined ? HEADER_BYTES : count * pageBytes;
    if (this.overflow.length < wanted) this.overflow = Buffer.alloc(wanted);
    const target = this.overflow.subarray(0, wanted);
    this.read(target, number, count, PAGE.overflow);
    if (target.readUInt32LE(20) !== count) throw this.harmedPage(number, `it does not take ${count} pages`);
    this.counts.overflowPages += count;
  }

  private load(page: Page, number: number, kind: number, { start, end }: Bounds): void {
    this.read(page.bytes, number, 1, kind);
    const wrong =
      page.findWrong(number, kind) ??
      (this.tree.name === 'data' ? page.findDisorder(start, end) : page.findIntegerDisorder(start, end));
    if (wrong !== undefined) throw this.harmedPage(number, wrong);
  }

  private read(target: Buffer, number: number, count: number, kind: number): void {
    const offset = this.offsetOf(number);
    if (number < 2 || number + count - 1 > this.head.lastPage) {
      throw this.file.harmed(offset, `its tree of ${this.tree.name} names page ${number}, which there is not`);
    }
    if (offset + count * this.head.pageBytes > this.fileBytes)
      throw this.harmedPage(number, 'it is beyond the end of the file');
    this.visitor.page?.(number, count);
    if (this.file.read(target, offset) < target.length)
      throw this.harmedPage(number, 'it is beyond the end of the file');
    if (wordAt(target, 0) !== number || (target[18]! & 0x0f) !== kind) {
      throw this.harmedPage(number, `no ${NAME[kind] ?? ''} page is there`);
    }
    if (wordAt(target, 8) > this.head.transaction)
      throw this.harmedPage(number, 'it is of a transaction that is yet to come');
  }

  private offsetOf(number: number): number {
    return number * this.head.pageBytes;
  }

  private harmedPage(number: number, what: string): Error {
    return this.file.harmed(this.offsetOf(number), `page ${number} of its tree of ${this.tree.name}: ${what}`);
  }
}

const WORDS: Record<string, string> = {
  branchPages: 'branch pages',
  leafPages: 'leaf pages',
  overflowPages: 'overflow pages',
  entries: 'entries',
};
const NAME: Record<number, string> = { [PAGE.branch]: 'branch', [PAGE.leaf]: 'leaf', [PAGE.overflow]: 'overflow' };

/** A branch or a leaf. Nodes begin at even places: words of two bytes are read as such, a million keys are millions of them. */
class Page {
  readonly bytes: Buffer;
  private readonly words: Uint16Array;
  number = 0;
  count = 0;

  constructor(size: number) {
    const memory = new ArrayBuffer(size);
    this.bytes = Buffer.from(memory);
    this.words = new Uint16Array(memory);
  }

  place(index: number): number {
    return this.words[HEADER_BYTES / 2 + index]! + HEADER_BYTES;
  }

  key(index: number): Buffer {
    const at = this.place(index) + NODE_BYTES;
    return this.bytes.subarray(at, at + this.words[at / 2 - 1]!);
  }

  child(index: number): number {
    return this.bytes.readUIntLE(this.place(index), 6);
  }

  valueBytes(index: number): number {
    return this.bytes.readUInt32LE(this.place(index));
  }

  isInOverflow(index: number): boolean {
    return this.words[this.place(index) / 2 + 2] === IN_OVERFLOW;
  }

  /** What lies in the page of a value: the place of it, if it lies in an overflow. */
  value(index: number): Buffer {
    const place = this.place(index);
    const at = place + NODE_BYTES + this.words[place / 2 + 3]!;
    return this.bytes.subarray(at, at + (this.isInOverflow(index) ? OVERFLOW_BYTES : this.valueBytes(index)));
  }

  /** Takes what was read as a page of that kind. @returns what is wrong with the nodes, if something is */
  findWrong(number: number, kind: number): string | undefined {
    const { words, bytes } = this;
    const size = bytes.length;
    const listBytes = words[10]!;
    const begin = words[11]! + HEADER_BYTES;
    if (listBytes % 2 !== 0 || listBytes === 0 || HEADER_BYTES + listBytes > begin || begin > size) {
      return 'its list of nodes does not fit it';
    }
    this.number = number;
    this.count = listBytes / 2;
    let used = 0;
    for (let index = 0; index < this.count; index++) {
      const node = this.place(index);
      if (node % 2 !== 0 || node < begin || node + NODE_BYTES > size) return `its node ${index} is not within it`;
      const word = node / 2;
      let length = NODE_BYTES + words[word + 3]!;
      if (kind === PAGE.leaf) {
        const flags = words[word + 2]!;
        if (flags > IN_OVERFLOW) return `its node ${index} is of an unknown kind`;
        length += flags === IN_OVERFLOW ? OVERFLOW_BYTES : words[word]! + words[word + 1]! * 65_536;
      }
      if (node + length > size) return `its node ${index} is not within it`;
      used += length + (length % 2);
    }
    return used === size - begin ? undefined : 'its nodes do not fill it';
  }

  /** Keys ascend, and are those that the parent leaves to the page. In a branch the first key counts for nothing. */
  findDisorder(start: Buffer | undefined, end: Buffer | undefined): string | undefined {
    const first = this.firstKey;
    if (first >= this.count) return undefined;
    if (start !== undefined && this.compareKey(first, start) < 0) return FOREIGN;
    if (end !== undefined && this.compareKey(this.count - 1, end) >= 0) return FOREIGN;
    for (let index = first + 1; index < this.count; index++) {
      if (!this.ascends(index)) return `its key ${index} is out of order`;
    }
    return undefined;
  }

  private compareKey(index: number, other: Buffer): number {
    const at = this.place(index) + NODE_BYTES;
    return this.bytes.compare(other, 0, other.length, at, at + this.words[at / 2 - 1]!);
  }

  private ascends(index: number): boolean {
    const { bytes, words } = this;
    const before = this.place(index - 1) + NODE_BYTES;
    const after = this.place(index) + NODE_BYTES;
    const beforeBytes = words[before / 2 - 1]!;
    const afterBytes = words[after / 2 - 1]!;
    const common = Math.min(beforeBytes, afterBytes);
    for (let at = 0; at < common; at++) {
      const difference = bytes[after + at]! - bytes[before + at]!;
      if (difference !== 0) return difference > 0;
    }
    return beforeBytes < afterBytes;
  }

  /** The same of keys that are numbers: of transactions, in the tree of free pages. */
  findIntegerDisorder(start: Buffer | undefined, end: Buffer | undefined): string | undefined {
    let before = start === undefined ? 0 : wordAt(start, 0) - 1;
    for (let index = this.firstKey; index < this.count; index++) {
      const key = this.key(index);
      if (key.length !== 8 || wordAt(key, 0) <= before) return `its key ${index} is out of order`;
      before = wordAt(key, 0);
    }
    return end !== undefined && before >= wordAt(end, 0) ? FOREIGN : undefined;
  }

  private get firstKey(): number {
    return (this.words[9]! & PAGE.branch) === 0 ? 0 : 1;
  }
}

const FOREIGN = 'its keys are not those that are looked for there';
