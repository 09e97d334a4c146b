import { createHash, type Hash } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';
import { SynodError, type Entry } from '@synod/runtime';
import { z } from 'zod';
import { BLOCK, BLOCK_HEAD_BYTES, checksumOf, DIGEST_BYTES, SNAPSHOT_FORMAT, SNAPSHOT_MAGIC } from './snapshot-file';

/** A block holds a page of records; the largest record is a little above what one request may carry. */
const BLOCK_BYTES_MAX = 64 << 20;
/** Where etcd's own files, of bbolt, have their mark: behind the head of the first page. */
const BBOLT_MAGIC = Buffer.from([0xed, 0xda, 0x0c, 0xed]);
const BBOLT_MAGIC_AT = 16;

const numberText = z.string().regex(/^-?\d+$/);
const headerSchema = z.object({
  release: z.string(),
  cluster: z.string(),
  member: z.string(),
  revision: numberText,
  compacted: numberText,
  instance: z.number().int(),
});
const endSchema = z.object({ records: z.number().int() });

export type ReadHeader = z.output<typeof headerSchema>;

/** A snapshot file, read from the front. Every byte is checked before it is handed out, but the digest at the end, which is last. */
export class SnapshotReader {
  private offset = 0;
  private readonly digest: Hash = createHash('sha256');

  private constructor(
    private readonly path: string,
    private readonly file: FileHandle,
    readonly size: number,
  ) {}

  /** @throws {SynodError} `not-found`; `invalid-argument` if the file is not a snapshot that this release reads, naming what it is */
  static async open(path: string): Promise<SnapshotReader> {
    let file: FileHandle;
    try {
      file = await open(path, 'r');
    } catch (cause) {
      throw new SynodError('not-found', `${path} cannot be read: ${(cause as Error).message}`, { cause });
    }
    const reader = new SnapshotReader(path, file, (await file.stat()).size);
    try {
      await reader.readStart();
      return reader;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** @throws {SynodError} `corrupt`, naming the offset */
  async header(): Promise<ReadHeader> {
    const at = this.offset;
    const { kind, payload } = await this.block();
    if (kind !== BLOCK.header) throw this.damaged(at, 'the header is missing');
    return this.parse(headerSchema, payload, at);
  }

  /**
   * All records, page by page.
   * @throws {SynodError} `corrupt`, naming the offset; also after the last page, if the file as a whole is not what was saved
   */
  async *pages(): AsyncGenerator<Entry[]> {
    let records = 0;
    for (;;) {
      const at = this.offset;
      const { kind, payload } = await this.block();
      if (kind === BLOCK.end) {
        const end = this.parse(endSchema, payload, at);
        if (end.records !== records) throw this.damaged(at, `${records} records were found, not ${end.records}`);
        return await this.readDigest();
      }
      if (kind !== BLOCK.records) throw this.damaged(at, `a block is of the unknown kind ${kind}`);
      const page = [...this.records(payload, at)];
      records += page.length;
      yield page;
    }
  }

  async close(): Promise<void> {
    await this.file.close();
  }

  private async readStart(): Promise<void> {
    const start = await this.peek(Math.max(SNAPSHOT_MAGIC.length + 4, BBOLT_MAGIC_AT + BBOLT_MAGIC.length));
    if (start.subarray(BBOLT_MAGIC_AT).equals(BBOLT_MAGIC)) {
      throw new SynodError(
        'invalid-argument',
        `${this.path} is a snapshot of etcd, not of Synod: read it with etcdutl (or etcdctl up to 3.5); to bring its keys over, restore ` +
          'it to an etcd and copy them with etcdctl make-mirror',
      );
    }
    if (!start.subarray(0, SNAPSHOT_MAGIC.length).equals(SNAPSHOT_MAGIC)) {
      throw new SynodError('invalid-argument', `${this.path} is no snapshot of Synod`);
    }
    const format = (await this.take(SNAPSHOT_MAGIC.length + 4)).readUInt32BE(SNAPSHOT_MAGIC.length);
    if (format !== SNAPSHOT_FORMAT) {
      throw new SynodError(
        'invalid-argument',
        `${this.path} has format ${format}, this release reads ${SNAPSHOT_FORMAT}; use the release that saved it`,
      );
    }
  }

  private async block(): Promise<{ readonly kind: number; readonly payload: Buffer }> {
    const at = this.offset;
    const head = await this.take(BLOCK_HEAD_BYTES);
    const kind = head.readUInt8(0);
    const size = head.readUInt32BE(1);
    if (size > BLOCK_BYTES_MAX) throw this.damaged(at, `a block says that it has ${size} bytes`);
    const payload = await this.take(size);
    if (checksumOf(kind, payload) !== head.readUInt32BE(5)) throw this.damaged(at, 'the checksum of a block is wrong');
    return { kind, payload };
  }

  private *records(payload: Buffer, at: number): Generator<Entry> {
    for (let offset = 0; offset < payload.length;) {
      if (offset + 8 > payload.length) throw this.damaged(at + offset, 'a record is cut short');
      const valueAt = offset + 8 + payload.readUInt32BE(offset);
      const end = valueAt + payload.readUInt32BE(offset + 4);
      if (end > payload.length) throw this.damaged(at + offset, 'a record is cut short');
      yield { key: payload.subarray(offset + 8, valueAt), value: payload.subarray(valueAt, end) };
      offset = end;
    }
  }

  private async readDigest(): Promise<void> {
    const at = this.size - DIGEST_BYTES;
    const padding = await this.take(Math.max(0, at - this.offset));
    const digest = this.digest.digest();
    const found = await this.peek(DIGEST_BYTES);
    if (padding.some((byte) => byte !== 0))
      throw this.damaged(at - padding.length, 'there is something behind the end');
    if (!found.equals(digest)) throw this.damaged(at, 'the digest of the whole is wrong');
  }

  private async take(size: number): Promise<Buffer> {
    const bytes = await this.peek(size);
    if (bytes.length < size)
      throw this.damaged(this.size, `it ends there, ${size - bytes.length} bytes or more are missing`);
    this.offset += size;
    this.digest.update(bytes);
    return bytes;
  }

  private async peek(size: number): Promise<Buffer> {
    const bytes = Buffer.alloc(size);
    const { bytesRead } = await this.file.read(bytes, 0, size, this.offset);
    return bytes.subarray(0, bytesRead);
  }

  private parse<T>(schema: z.ZodType<T>, payload: Buffer, at: number): T {
    try {
      return schema.parse(JSON.parse(payload.toString()));
    } catch (cause) {
      throw new SynodError('corrupt', this.damaged(at, 'a block holds something else than it should').message, {
        cause,
      });
    }
  }

  private damaged(offset: number, detail: string): SynodError {
    return new SynodError('corrupt', `${this.path} is damaged at offset ${offset}: ${detail}`);
  }
}
