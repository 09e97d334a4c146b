import { closeSync, fsyncSync, mkdirSync, openSync } from 'node:fs';
import path from 'node:path';
import { writeAll } from './run-file';

const BUFFER_BYTES = 256 * 1024;
const TAB = 0x09;
const NEWLINE = 0x0a;

/** Writes the part of a partition: lines `key<TAB>value`. Under the attempt's own name; the master alone makes it visible. */
export class PartFile {
  private readonly file: number;
  private readonly buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  private used = 0;
  lines = 0;
  bytes = 0;

  constructor(private readonly name: string) {
    // Without `recursive`: if the job's staging folder is gone, the job has ended and nothing may be written any more.
    mkdirSync(path.dirname(name));
    this.file = openSync(name, 'wx');
  }

  add(key: Uint8Array, value: Uint8Array): void {
    const length = key.length + value.length + 2;
    if (length > BUFFER_BYTES - this.used) this.flush();
    if (length > BUFFER_BYTES) {
      writeAll(this.file, Buffer.concat([key, Buffer.of(TAB), value, Buffer.of(NEWLINE)]));
    } else {
      this.buffer.set(key, this.used);
      this.buffer[this.used + key.length] = TAB;
      this.buffer.set(value, this.used + key.length + 1);
      this.buffer[this.used + length - 1] = NEWLINE;
      this.used += length;
    }
    this.lines++;
    this.bytes += length;
  }

  /** Returns once every byte, and the file's name, is durable. */
  finish(): void {
    this.flush();
    fsyncSync(this.file);
    closeSync(this.file);
    const folder = openSync(path.dirname(this.name), 'r');
    fsyncSync(folder);
    closeSync(folder);
  }

  private flush(): void {
    writeAll(this.file, this.buffer.subarray(0, this.used));
    this.used = 0;
  }
}
