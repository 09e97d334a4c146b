import { prefixEnd, successor, type Entry, type StoreReader } from '@synod/runtime';
import { valueOf } from './mvcc';
import { decodeKey, startOf, timestampOf, versionKey, versionsEnd, versionsStart } from './mvcc-key';

/** Which keys to read as of when, and how much of them at most. */
export interface ScanOptions {
  /** Not empty; not all 0xff. */
  readonly prefix: Uint8Array;
  /** The first key; the empty key for the first of all. */
  readonly start: Uint8Array;
  /** The first key not wanted; undefined if all from `start` on are. */
  readonly end: Uint8Array | undefined;
  readonly timestamp: bigint;
  /** Entries returned. */
  readonly limit: number;
  /** Bytes of keys and values returned; the entry that goes beyond it is the last. */
  readonly bytesMax?: number;
  /** Stored versions looked at, so that a region of deletions cannot hold up the event loop. */
  readonly visitsMax?: number;
}

export interface ScanEntry {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly version: bigint;
}

export interface ScanPage {
  /** In key order; keys that were absent or deleted at the timestamp are left out. */
  readonly entries: readonly ScanEntry[];
  /** Where the next page starts; undefined if the range is exhausted. A page may be short, even empty, and yet not the last. */
  readonly resume: Buffer | undefined;
}

const BYTES_MAX = 1 << 20;
const VISITS_MAX = 20_000;

/** Stepping over a version costs about a third of a seek. */
const STEPS_BEFORE_SEEK = 4;

/** Reads a range of keys as of a timestamp, one page of it. Versions that do not matter are stepped over, or past when they are many. */
export function scanAt(reader: StoreReader, options: ScanOptions): ScanPage {
  return new Scan(options).run(reader);
}

/** What to do after a look at one stored version. */
type Next = 'step' | 'stop' | { readonly seek: Buffer };

class Scan {
  private readonly entries: ScanEntry[] = [];
  private readonly end: Buffer;
  private bytes = 0;
  private visits = 0;
  /** The key whose versions are being passed, and how many of them were since its first or the last seek. */
  private start: Buffer | undefined;
  private passed = 0;
  /** Whether that key's version at the timestamp was seen already. */
  private isSettled = false;
  private resume: Buffer | undefined;

  constructor(private readonly options: ScanOptions) {
    const { prefix, end } = options;
    const last = end === undefined ? prefixEnd(prefix) : versionsStart(prefix, end);
    if (last === undefined) throw new RangeError('the prefix of a scan has no end');
    this.end = last;
  }

  run(reader: StoreReader): ScanPage {
    const { prefix, start, limit } = this.options;
    if (limit <= 0) return { entries: [], resume: Buffer.from(start) };
    let from: Buffer | undefined = versionsStart(prefix, start);
    while (from !== undefined) from = this.walk(reader, from);
    return { entries: this.entries, resume: this.resume };
  }

  /** Goes on from a stored key until the end (undefined) or until it pays to seek (to the key returned). */
  private walk(reader: StoreReader, from: Buffer): Buffer | undefined {
    for (const entry of reader.range({ start: from, end: this.end })) {
      const next = this.visit(entry);
      if (next === 'stop') return undefined;
      if (next !== 'step') return next.seek;
    }
    return undefined;
  }

  private visit({ key: stored, value }: Entry): Next {
    const start = startOf(stored);
    if (this.start === undefined || !start.equals(this.start)) {
      if (this.isFull()) return this.stopBefore(start);
      this.start = start;
      this.passed = 0;
      this.isSettled = false;
    } else if (this.visits >= (this.options.visitsMax ?? VISITS_MAX)) {
      return this.stopWithin(start);
    }
    this.visits += 1;
    const version = timestampOf(stored);
    const isVisible = !this.isSettled && version <= this.options.timestamp;
    if (isVisible) {
      this.isSettled = true;
      this.take(start, valueOf(value), version);
    }
    this.passed += 1;
    if (this.passed < STEPS_BEFORE_SEEK) return 'step';
    this.passed = 0;
    return { seek: this.isSettled ? versionsEnd(start) : versionKey(start, this.options.timestamp) };
  }

  private take(start: Buffer, value: Buffer | undefined, version: bigint): void {
    if (value === undefined) return;
    const key = decodeKey(start, this.options.prefix.length);
    this.entries.push({ key, value, version });
    this.bytes += key.length + value.length;
  }

  private isFull(): boolean {
    const { limit, bytesMax = BYTES_MAX, visitsMax = VISITS_MAX } = this.options;
    return this.entries.length >= limit || this.bytes >= bytesMax || this.visits >= visitsMax;
  }

  private stopBefore(start: Buffer): 'stop' {
    this.resume = decodeKey(start, this.options.prefix.length);
    return 'stop';
  }

  /** Out of visits among the versions of one key: the next page begins with it, or behind it if it is done. */
  private stopWithin(start: Buffer): 'stop' {
    const key = decodeKey(start, this.options.prefix.length);
    this.resume = this.isSettled ? successor(key) : key;
    return 'stop';
  }
}
