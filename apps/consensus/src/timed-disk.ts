import type { Clock, Disk, DiskFile } from '@synod/runtime';

/** A disk that tells how long each durable write to a file took: what every acknowledgement of a write waits for. */
export function timedDisk(disk: Disk, clock: Clock, durable: { observe(seconds: number): void }): Disk {
  return {
    open: async (name, options) => {
      const file = await disk.open(name, options);
      return options?.durable === true ? timedFile(file, clock, durable) : file;
    },
    list: (folder) => disk.list(folder),
    makeFolder: (folder) => disk.makeFolder(folder),
    remove: (name) => disk.remove(name),
    rename: (from, to) => disk.rename(from, to),
    syncDirectory: (folder) => disk.syncDirectory(folder),
  };
}

function timedFile(file: DiskFile, clock: Clock, durable: { observe(seconds: number): void }): DiskFile {
  return {
    size: () => file.size(),
    read: (offset, length) => file.read(offset, length),
    write: async (offset, bytes) => {
      const startedUs = clock.monotonicUs();
      await file.write(offset, bytes);
      durable.observe((clock.monotonicUs() - startedUs) / 1_000_000);
    },
    truncate: (size) => file.truncate(size),
    sync: () => file.sync(),
    close: () => file.close(),
  };
}
