/**
 * A node's data folder, as a port. Names are relative to it, with `/` between parts. Nothing is durable before the `sync` that
 * covers it has resolved: file contents by `DiskFile.sync`, the existence and name of a file by `syncDirectory` of its folder.
 * Every call may reject with the `NodeJS.ErrnoException` of the operating system (`ENOSPC`, `EIO`, `ENOENT` …).
 */
export interface Disk {
  /** Opens a file for reading and writing; creates it empty if it is missing and `create` is given. */
  open(name: string, options?: { readonly create?: boolean }): Promise<DiskFile>;
  /** The names directly inside a folder, in byte order; empty if the folder does not exist. */
  list(folder: string): Promise<string[]>;
  /** Creates a folder and its parents; does nothing if it exists. */
  makeFolder(folder: string): Promise<void>;
  remove(name: string): Promise<void>;
  /** Atomically gives `from` the name `to`, replacing what was there. */
  rename(from: string, to: string): Promise<void>;
  /** Makes creations, removals and renames directly inside `folder` durable. */
  syncDirectory(folder: string): Promise<void>;
}

/** An open file of a `Disk`. Offsets and lengths are in bytes. */
export interface DiskFile {
  size(): Promise<number>;
  /** Up to `length` bytes from `offset`; shorter only at the end of the file. */
  read(offset: number, length: number): Promise<Buffer>;
  /** Writes all of `bytes` at `offset`, growing the file if needed. After a rejection any part may have been written. */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  truncate(size: number): Promise<void>;
  /**
   * Makes everything written before this call durable (fdatasync). After a rejection the unsynced writes must be taken as lost:
   * the caller stops the process and never retries (Rebello et al., "Can Applications Recover from fsync Failures?", ATC 2020).
   */
  sync(): Promise<void>;
  close(): Promise<void>;
}
