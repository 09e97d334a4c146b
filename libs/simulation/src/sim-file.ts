import type { Draws } from './draw';

/** What a disk writes whole or not at all. */
export const SECTOR_BYTES = 512;

/** A change that processes see and a power cut may forget. */
type Change =
  | { readonly seq: number; readonly kind: 'write'; readonly offset: number; readonly bytes: Buffer }
  | { readonly seq: number; readonly kind: 'truncate'; readonly size: number };

/** Bytes of a file in one place: the page cache, or the platter. */
class Content {
  private bytes = Buffer.alloc(0);
  size = 0;

  write(offset: number, data: Uint8Array): void {
    if (data.length === 0) return;
    this.resize(Math.max(this.size, offset + data.length));
    this.bytes.set(data, offset);
  }

  /** Cuts, or grows with zeros. */
  resize(size: number): void {
    if (size > this.bytes.length) {
      const grown = Buffer.alloc(Math.max(size, 2 * this.bytes.length));
      this.bytes.copy(grown, 0, 0, this.size);
      this.bytes = grown;
    }
    if (size < this.size) this.bytes.fill(0, size, this.size);
    this.size = size;
  }

  read(offset: number, length: number): Buffer {
    return Buffer.from(this.bytes.subarray(Math.min(offset, this.size), Math.min(offset + length, this.size)));
  }

  become(other: Content): void {
    this.bytes = Buffer.from(other.bytes.subarray(0, other.size));
    this.size = other.size;
  }
}

/** How a power cut, or a sync that fails, treats what was never synced. Extremes find more than averages. */
export type Mood = 'keep' | 'drop' | 'torn-tail' | 'each-by-chance';

/**
 * A file without its name: what processes see, what is durable, and the changes between the two. Only bytes of a change that no sync
 * covered can be lost or garbled: a sector written partly new keeps what it held durably (sectors are atomic).
 */
export class SimFile {
  readonly kind = 'file';
  private readonly seen = new Content();
  private readonly durable = new Content();
  private pending: Change[] = [];
  private seq = 0;

  get size(): number {
    return this.seen.size;
  }

  read(offset: number, length: number): Buffer {
    return this.seen.read(offset, length);
  }

  /** What a power cut leaves at the least. */
  readSynced(offset: number, length: number): Buffer {
    return this.durable.read(offset, length);
  }

  write(offset: number, bytes: Buffer): void {
    this.seen.write(offset, bytes);
    this.pending.push({ seq: ++this.seq, kind: 'write', offset, bytes });
  }

  truncate(size: number): void {
    this.seen.resize(size);
    this.pending.push({ seq: ++this.seq, kind: 'truncate', size });
  }

  /** Names everything changed so far; given to `synced` when a sync that began here is done. */
  mark(): number {
    return this.seq;
  }

  synced(mark: number): void {
    let done = 0;
    for (const change of this.pending) {
      if (change.seq > mark) break;
      apply(this.durable, change);
      done++;
    }
    this.pending = this.pending.slice(done);
  }

  /** A sync that began at `mark` has failed, and the kernel takes for clean what it was to write, of which some got there: no later sync writes it. */
  forget(mark: number, mood: Mood, fate: Draws): void {
    const forgotten = this.pending.filter(({ seq }) => seq <= mark);
    this.pending = this.pending.filter(({ seq }) => seq > mark);
    this.land(forgotten, mood, fate);
  }

  /** What is left after the power came back. */
  crash(mood: Mood, fate: Draws): void {
    const unsynced = this.pending;
    this.pending = [];
    this.land(unsynced, mood, fate);
    this.seen.become(this.durable);
  }

  /** Flips bits of a byte that was synced long ago: what a sync covers is safe from crashes, not from age. */
  rot(offset: number): void {
    for (const content of [this.seen, this.durable]) {
      const [byte] = content.read(offset, 1);
      if (byte !== undefined) content.write(offset, Uint8Array.of(byte ^ 0x55));
    }
  }

  /** Some of what no sync covered gets to the platter. */
  private land(changes: readonly Change[], mood: Mood, fate: Draws): void {
    if (mood === 'keep') for (const change of changes) apply(this.durable, change);
    else if (mood !== 'drop' && changes.length > 0) this.damage(changes, mood, fate);
  }

  private damage(unsynced: readonly Change[], mood: Mood, fate: Draws): void {
    const pieces = unsynced.flatMap(sectorsOf);
    // Torn tail: up to some piece everything got there, that one is half there, the rest is lost.
    const tornAt = fate.below(pieces.length + 1);
    for (const [index, piece] of pieces.entries()) {
      let lot: number;
      if (mood === 'torn-tail') lot = index < tornAt ? 0 : index === tornAt ? 2 : 1;
      else lot = fate.below(3);
      if (lot === 0) apply(this.durable, piece);
      else if (lot === 2 && piece.kind === 'write')
        apply(this.durable, { ...piece, bytes: garbled(piece.bytes, fate) });
    }
    // A file system may have noted the new length before the data: then zeros are found where nothing was written.
    if (this.durable.size < this.seen.size && fate.chance(1, 4)) {
      this.durable.resize(fate.between(this.durable.size, this.seen.size));
    }
  }
}

function apply(content: Content, change: Change): void {
  if (change.kind === 'write') content.write(change.offset, change.bytes);
  else content.resize(change.size);
}

function sectorsOf(change: Change): Change[] {
  if (change.kind === 'truncate') return [change];
  const pieces: Change[] = [];
  for (let start = 0; start < change.bytes.length;) {
    const offset = change.offset + start;
    const end = Math.min(change.bytes.length, start + SECTOR_BYTES - (offset % SECTOR_BYTES));
    pieces.push({ ...change, offset, bytes: change.bytes.subarray(start, end) });
    start = end;
  }
  return pieces;
}

/** The start as written, then zeros or noise. */
function garbled(bytes: Buffer, fate: Draws): Buffer {
  const good = fate.below(bytes.length);
  const rest = bytes.length - good;
  return Buffer.concat([bytes.subarray(0, good), fate.chance(1, 2) ? Buffer.alloc(rest) : fate.bytes(rest)]);
}
