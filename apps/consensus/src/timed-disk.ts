import type { Clock, Disk, DiskFile } from '@synod/runtime';

/** A disk that tells how long each sync of a file took: what every acknowledgement of a write waits for. */
export function timedDisk(disk: Disk, clock: Clock, synced: { observe(seconds: number): void }): Disk {
  return {
    open: async (name, options) => timedFile(await disk.open(name, options), clock, synced),
    list: (folder) => disk.list(folder),
    makeFolder: (folder) => disk.makeFolder(folder),
    remove: (name) => disk.remove(name),
    rename: (from, to) => disk.rename(from, to),
    syncDirectory: (folder) => disk.syncDirectory(folder),
  };
}

function timedFile(file: DiskFile, clock: Clock, synced: { observe(seconds: number): void }): DiskFile {
  return {
    size: () => file.size(),
    read: (offset, length) => file.read(offset, length),
    write: (offset, bytes) => file.write(offset, bytes),
    truncate: (size) => file.truncate(size),
    sync: async () => {
      const startedUs = clock.monotonicUs();
      await file.sync();
      synced.observe((clock.monotonicUs() - startedUs) / 1_000_000);
    },
    close: () => file.close(),
  };
}
