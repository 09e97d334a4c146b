import { SnapshotReader, type ReadHeader } from './snapshot-reader';
import { countRecords, type RecordCounts } from './state/key-space';
import { hashRecord, SetHash } from './state/state-hash';

export interface SnapshotStatus extends ReadHeader, RecordCounts {
  /** Of all records, as Maintenance.Hash of the member had it at that moment; eight hexadecimal digits. */
  readonly hash: string;
  readonly sizeBytes: number;
}

/**
 * What is in a snapshot file. All of it is read and checked.
 * @throws {SynodError} `not-found`, `invalid-argument`, `corrupt`
 */
export async function snapshotStatus(file: string): Promise<SnapshotStatus> {
  const reader = await SnapshotReader.open(file);
  try {
    const header = await reader.header();
    const hash = new SetHash();
    let counts: RecordCounts = { keys: 0, versions: 0, leases: 0 };
    for await (const page of reader.pages()) {
      for (const { key, value } of page) hash.add(hashRecord(key, value));
      counts = countRecords(page, counts);
    }
    return { ...header, ...counts, hash: hash.value32.toString(16).padStart(8, '0'), sizeBytes: reader.size };
  } finally {
    await reader.close();
  }
}
