import { crc32, SynodError, type Disk, type DiskFile } from '@synod/runtime';

/**
 * A file of the log. Its first 64 bytes keep this layout in every format, so that any release can tell what it has before it:
 *
 * | at | size | |
 * | --- | --- | --- |
 * | 0 | 8 | magic |
 * | 8 | 4 | crc32 of all that follows |
 * | 12 | 2 | format of what is behind the header |
 * | 14 | 6 | number of this segment |
 * | 20 | 6 | number of the oldest segment that a replay needs; those before it may be gone. The newest segment's word counts |
 * | 26 | 6 | sequence of the first batch |
 * | 32 | 32 | release that wrote it, for the error that names it; zero-padded |
 */
export const SEGMENT_HEADER_BYTES = 64;
const MAGIC = Buffer.from('SYNODWAL');
export const SEGMENT_FORMAT = 1;

export interface SegmentHeader {
  readonly format: number;
  readonly number: number;
  readonly oldest: number;
  readonly firstSequence: number;
  readonly release: string;
}

export function segmentName(folder: string, number: number): string {
  return `${folder}/${String(number).padStart(12, '0')}.wal`;
}

/** The numbers of the segments in a folder, ascending; files of other names are not the log's. */
export async function segmentNumbers(disk: Disk, folder: string): Promise<number[]> {
  const names = await disk.list(folder);
  return names.filter((name) => /^\d{12}\.wal$/.test(name)).map((name) => Number.parseInt(name, 10));
}

export function encodeSegmentHeader({ format, number, oldest, firstSequence, release }: SegmentHeader): Buffer {
  const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
  bytes.set(MAGIC, 0);
  bytes.writeUInt16BE(format, 12);
  bytes.writeUIntBE(number, 14, 6);
  bytes.writeUIntBE(oldest, 20, 6);
  bytes.writeUIntBE(firstSequence, 26, 6);
  bytes.write(release, 32, 'latin1');
  bytes.writeUInt32BE(crc32(bytes.subarray(12)), 8);
  return bytes;
}

/** @returns undefined if these are not the first bytes of a segment, whole and unharmed */
export function parseSegmentHeader(bytes: Buffer): SegmentHeader | undefined {
  if (bytes.length < SEGMENT_HEADER_BYTES || bytes.compare(MAGIC, 0, 8, 0, 8) !== 0) return undefined;
  if (bytes.readUInt32BE(8) !== crc32(bytes.subarray(12, SEGMENT_HEADER_BYTES))) return undefined;
  return {
    format: bytes.readUInt16BE(12),
    number: bytes.readUIntBE(14, 6),
    oldest: bytes.readUIntBE(20, 6),
    firstSequence: bytes.readUIntBE(26, 6),
    release: bytes.toString('latin1', 32, SEGMENT_HEADER_BYTES).replace(/\0+$/, ''),
  };
}

/** What a segment is called until it is whole. No reader of the log looks at it, and the next one to be made takes its place. */
const DRAFT = 'draft';

/**
 * Begins a segment, which has its name only once header and first batch are durable: a crash leaves it whole or not at all. Takes the place of a
 * segment of the same number, which must hold nothing else. What is written to the file from now on is durable at once.
 * @param batch the first one, if it begins with one
 */
export async function createSegment(
  disk: Disk,
  folder: string,
  header: SegmentHeader,
  batch: Buffer = Buffer.alloc(0),
): Promise<DiskFile> {
  const draft = `${folder}/${DRAFT}`;
  const file = await disk.open(draft, { create: true, durable: true });
  await file.truncate(0);
  await file.write(0, Buffer.concat([encodeSegmentHeader(header), batch]));
  await disk.rename(draft, segmentName(folder, header.number));
  await disk.syncDirectory(folder);
  return file;
}

/** The log was harmed: what it says cannot be trusted, and starting without it could break promises. */
export function rotten(file: string, offset: number, what: string): SynodError {
  return new SynodError(
    'corrupt',
    `write-ahead log: ${file} is corrupt at offset ${offset}: ${what}; restore this node's data folder, or replace the node`,
  );
}
