import type { Disk, DiskFile, OpenOptions } from '@synod/runtime';

/** What a power cut leaves of a piece of a file that was written and not synced. */
export type Survival = (piece: number) => boolean;

interface Contents {
  live: Buffer;
  durable: Buffer;
  /** What was written since the last sync: all that the next one carries to the disk. */
  dirty: { readonly start: number; readonly end: number }[];
}

/** Disks tear writes at their sectors; small ones here, so that every batch has several. */
const PIECE_BYTES = 16;

/**
 * A disk in memory that can lose power at any byte written, tear unsynced writes, forget names that were not synced, and fail
 * single calls. For specs of the log; knows no folders but by the names of their files.
 */
export class FaultyDisk implements Disk {
  private live = new Map<string, Contents>();
  private durable = new Map<string, Contents>();
  private cut = false;
  bytesWritten = 0;
  writes = 0;
  syncs = 0;
  /** Power goes once this many bytes were written: the rest of that write, and every later call, never happens. */
  powerFailsAtByte = Infinity;
  calls = 0;
  /** Power goes when so many calls have been made: a write before it and its sync is torn. */
  powerFailsAtCall = Infinity;
  /** Makes one kind of call fail from now on. */
  failing: { readonly call: 'write' | 'sync' | 'syncDirectory'; readonly code: string } | undefined;

  /** The disk as the next start finds it. */
  afterPowerCut(survives: Survival): FaultyDisk {
    const next = new FaultyDisk();
    let piece = 0;
    for (const name of new Set([...this.live.keys(), ...this.durable.keys()])) {
      // A name that was given, taken away or given anew, and not synced, may still mean what it meant before.
      const [now, before] = [this.live.get(name), this.durable.get(name)];
      const contents = now === before || survives(piece++) ? now : before;
      if (contents === undefined) continue;
      const isCut = contents.live.length < contents.durable.length && survives(piece++);
      const left = Buffer.alloc(isCut ? contents.live.length : Math.max(contents.live.length, contents.durable.length));
      left.set(contents.durable.subarray(0, left.length));
      let size = contents.durable.length;
      for (let at = 0; at < left.length; at += PIECE_BYTES) {
        const now = contents.live.subarray(at, at + PIECE_BYTES);
        // What a failed sync has taken for clean is in the cache alone.
        if (!contents.dirty.some(({ start, end }) => start < at + PIECE_BYTES && end > at)) continue;
        if (now.equals(contents.durable.subarray(at, at + PIECE_BYTES)) || !survives(piece++)) continue;
        left.set(now, at);
        size = Math.max(size, at + now.length);
      }
      const kept = left.subarray(0, size);
      next.put(name, kept);
    }
    return next;
  }

  names(): string[] {
    return [...this.live.keys()].sort();
  }

  contents(name: string): Buffer {
    return Buffer.from(this.find(name).live);
  }

  /** Sets a file's bytes, durably. */
  put(name: string, bytes: Uint8Array): void {
    const contents: Contents = { live: Buffer.from(bytes), durable: Buffer.from(bytes), dirty: [] };
    this.live.set(name, contents);
    this.durable.set(name, contents);
  }

  delete(name: string): void {
    this.live.delete(name);
    this.durable.delete(name);
  }

  /** Another disk with the same bytes. */
  copy(): FaultyDisk {
    const next = new FaultyDisk();
    for (const name of this.live.keys()) next.put(name, this.contents(name));
    return next;
  }

  async open(name: string, options: OpenOptions = {}): Promise<DiskFile> {
    await this.power();
    if (options.create === true && !this.live.has(name)) {
      this.live.set(name, { live: Buffer.alloc(0), durable: Buffer.alloc(0), dirty: [] });
    }
    return this.file(this.find(name), options.durable === true);
  }

  async list(folder: string): Promise<string[]> {
    await this.power();
    return this.names().flatMap((name) => (name.startsWith(`${folder}/`) ? [name.slice(folder.length + 1)] : []));
  }

  makeFolder(): Promise<void> {
    return this.power();
  }

  async remove(name: string): Promise<void> {
    await this.power();
    this.live.delete(name);
  }

  async rename(from: string, to: string): Promise<void> {
    await this.power();
    this.live.set(to, this.find(from));
    this.live.delete(from);
  }

  async syncDirectory(folder: string): Promise<void> {
    await this.power();
    this.failIfAsked('syncDirectory');
    const inside = (name: string): boolean => name.startsWith(`${folder}/`);
    for (const name of this.durable.keys()) if (inside(name)) this.durable.delete(name);
    for (const [name, contents] of this.live) if (inside(name)) this.durable.set(name, contents);
  }

  private file(contents: Contents, durable: boolean): DiskFile {
    const sync = async (): Promise<void> => {
      await this.power();
      const { live, dirty } = contents;
      contents.dirty = []; // Clean also if it fails, as to a kernel that says so only once.
      this.failIfAsked('sync');
      this.syncs += 1;
      const durable = Buffer.alloc(live.length);
      contents.durable.copy(durable);
      for (const { start, end } of dirty) live.copy(durable, start, start, end);
      contents.durable = durable;
    };
    return {
      size: async () => {
        await this.power();
        return contents.live.length;
      },
      read: async (offset, length) => {
        await this.power();
        return Buffer.from(contents.live.subarray(offset, offset + length));
      },
      write: async (offset, bytes) => {
        await this.power();
        this.failIfAsked('write');
        this.writes += 1;
        const room = Math.min(bytes.length, this.powerFailsAtByte - this.bytesWritten);
        const grown = Buffer.alloc(Math.max(contents.live.length, offset + room));
        grown.set(contents.live);
        grown.set(bytes.subarray(0, room), offset);
        contents.live = grown;
        contents.dirty.push({ start: offset, end: offset + room });
        this.bytesWritten += room;
        if (room < bytes.length) this.cut = true;
        await this.power();
        if (durable) await sync();
      },
      truncate: async (size) => {
        await this.power();
        const cut = Buffer.alloc(size);
        cut.set(contents.live.subarray(0, size));
        contents.live = cut;
      },
      sync,
      close: () => this.power(),
    };
  }

  private find(name: string): Contents {
    const contents = this.live.get(name);
    if (contents === undefined) throw Object.assign(new Error(`no such file: ${name}`), { code: 'ENOENT' });
    return contents;
  }

  /** Rejects where real power loss would just end the process, so that a test can go on. */
  private async power(): Promise<void> {
    await Promise.resolve();
    this.calls += 1;
    if (this.calls > this.powerFailsAtCall) this.cut = true;
    if (this.cut) throw new Error('the power is out');
  }

  private failIfAsked(call: 'write' | 'sync' | 'syncDirectory'): void {
    if (this.failing?.call !== call) return;
    throw Object.assign(new Error(`${this.failing.code}: ${call} failed`), { code: this.failing.code });
  }
}
