import type { Disk, DiskFile } from '@synod/runtime';

/**
 * A disk to be read and left as it is. What a reader of the log does by the way, to cut a torn tail or to be sure that what it read is
 * durable, is left undone: for one that reads once, to take a copy, neither matters. Nothing else of a disk that changes it may be called.
 */
export function untouchedDisk(disk: Disk): Disk {
  return {
    open: async (name) => untouchedFile(await disk.open(name)),
    list: (folder) => disk.list(folder),
    syncDirectory: () => Promise.resolve(),
    makeFolder: refuse,
    remove: refuse,
    rename: refuse,
  };
}

function untouchedFile(file: DiskFile): DiskFile {
  return {
    size: () => file.size(),
    read: (offset, length) => file.read(offset, length),
    write: refuse,
    truncate: () => Promise.resolve(),
    sync: () => Promise.resolve(),
    close: () => file.close(),
  };
}

function refuse(): never {
  throw new Error('this disk is only read');
}
