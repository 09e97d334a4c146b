import { constants } from 'node:fs';
import { mkdir, open, readdir, rename, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { Disk, DiskFile, OpenOptions } from './disk';
import { diskFolderParts, diskNameParts } from './disk-name';

/**
 * The `Disk` over one folder of the operating system, which need not exist yet: `makeFolder('')` creates it.
 * Nothing here keeps a second process off the same folder.
 */
export function openDisk(folder: string): Disk {
  const file = (name: string): string => join(folder, ...diskNameParts(name));
  const inside = (name: string): string => join(folder, ...diskFolderParts(name));
  return {
    open: async (name, options = {}) => {
      const handle = await openForBoth(file(name), options);
      return new SystemFile(handle, options.durable === true && !HAS_DURABLE_WRITES);
    },
    list: async (name) => namesIn(inside(name)),
    makeFolder: async (name) => void (await mkdir(inside(name), { recursive: true })),
    remove: async (name) => unlink(file(name)),
    rename: async (from, to) => rename(file(from), file(to)),
    syncDirectory: async (name) => syncFolder(inside(name)),
  };
}

/** Elsewhere O_DSYNC is missing, or leaves what was written in the cache of the disk. */
const HAS_DURABLE_WRITES = process.platform === 'linux';

async function openForBoth(path: string, { create = false, durable = false }: OpenOptions): Promise<FileHandle> {
  const flags = constants.O_RDWR | (durable && HAS_DURABLE_WRITES ? constants.O_DSYNC : 0);
  try {
    return await open(path, flags);
  } catch (error) {
    if (!create || !isMissing(error)) throw error;
  }
  return open(path, flags | constants.O_CREAT | constants.O_EXCL);
}

async function namesIn(path: string): Promise<string[]> {
  try {
    const names = await readdir(path);
    return names.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}

class SystemFile implements DiskFile {
  constructor(
    private readonly handle: FileHandle,
    private readonly syncsWrites: boolean,
  ) {}

  async size(): Promise<number> {
    return (await this.handle.stat()).size;
  }

  async read(offset: number, length: number): Promise<Buffer> {
    const buffer = Buffer.allocUnsafe(length);
    let filled = 0;
    while (filled < length) {
      const { bytesRead } = await this.handle.read(buffer, filled, length - filled, offset + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return buffer.subarray(0, filled);
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    let written = 0;
    while (written < bytes.length) {
      const { bytesWritten } = await this.handle.write(bytes, written, bytes.length - written, offset + written);
      written += bytesWritten;
    }
    if (this.syncsWrites) await this.sync();
  }

  truncate(size: number): Promise<void> {
    return this.handle.truncate(size);
  }

  sync(): Promise<void> {
    return this.handle.datasync();
  }

  close(): Promise<void> {
    return this.handle.close();
  }
}
