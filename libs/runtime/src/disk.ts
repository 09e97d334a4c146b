/**
 * A node's data folder, as a port. Names are relative to it, with `/` between parts (`diskNameParts` says which are valid; others
 * reject with `invalid-argument`); for `list`, `makeFolder` and `syncDirectory` the empty name is the data folder itself.
 * Nothing is durable before the `sync` that covers it has resolved: file contents by `DiskFile.sync`, the existence and name of a
 * file or folder by `syncDirectory` of the folder that holds it.
 * Every call may reject with the `NodeJS.ErrnoException` of the operating system (`ENOSPC`, `EIO`, `ENOENT` …).
 */
export interface Disk {
  /**
   * Opens a file for reading and writing; creates it empty if it is missing and `create` is given. `ENOENT` if the file is missing
   * and `create` is not given, or if its folder is missing.
   */
  open(name: string, options?: OpenOptions): Promise<DiskFile>;
  /** The names of files and folders directly inside a folder, in byte order; empty if the folder does not exist. */
  list(folder: string): Promise<string[]>;
  /** Creates a folder and its parents; does nothing if it exists. Each level is durable by `syncDirectory` of the one above. */
  makeFolder(folder: string): Promise<void>;
  /** Removes a file; `ENOENT` if it is missing. */
  remove(name: string): Promise<void>;
  /** Atomically gives the file `from` the name `to`, replacing what was there; `ENOENT` if `from` is missing. */
  rename(from: string, to: string): Promise<void>;
  /** Makes creations, removals and renames directly inside `folder` durable. */
  syncDirectory(folder: string): Promise<void>;
}

export interface OpenOptions {
  readonly create?: boolean;
  /**
   * Every write through this opening is durable once it resolves, as if it had been synced as well: by one call of the operating system where it has one
   * for that (O_DSYNC), since each call costs the wake-ups of a thread.
   */
  readonly durable?: boolean;
}

/** An open file of a `Disk`. Offsets and lengths are in bytes. Two openings of one file see each other's writes at once. */
export interface DiskFile {
  size(): Promise<number>;
  /** Up to `length` bytes from `offset`; shorter only at the end of the file. The buffer belongs to the caller. */
  read(offset: number, length: number): Promise<Buffer>;
  /**
   * Writes all of `bytes` at `offset`, growing the file if needed; a gap reads as zeros. `bytes` must not change until it settles.
   * After a rejection any part may have been written.
   */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /** Cuts the file, or grows it with zeros. */
  truncate(size: number): Promise<void>;
  /**
   * Makes everything written before this call durable (fdatasync). After a rejection the unsynced writes must be taken as lost:
   * the caller stops the process and never retries (Rebello et al., "Can Applications Recover from fsync Failures?", ATC 2020).
   */
  sync(): Promise<void>;
  /** Releases the file without syncing it. Every later call on it rejects. */
  close(): Promise<void>;
}
