import {
  TRANSACTION_BYTES_MAX,
  TRANSACTION_KEYS_MAX,
  type ReadVersion,
  type Timestamp,
  type Write,
} from '@synod/protocols';
import { compareBytes, SynodError } from '@synod/runtime';
import { keyBytes, valueBytes, type Bytes } from './limits';
import type { SnapshotReader, VersionedValue } from './snapshot-reader';

/** A transaction in progress, as the function that makes it up sees it. */
export interface Transaction {
  /** All reads see what was committed at or below this timestamp, and nothing else but the transaction's own writes. */
  readonly readTs: Timestamp;
  /** The transaction's own write, else what the key held at `readTs`; undefined if it is absent. */
  get(key: Bytes): Promise<Buffer | undefined>;
  /** Several keys at once, in order. */
  getMany(keys: readonly Bytes[]): Promise<(Buffer | undefined)[]>;
  /** Takes effect when the transaction commits. */
  put(key: Bytes, value: Bytes): void;
  delete(key: Bytes): void;
}

/**
 * The client's side of one attempt: a snapshot to read from, a buffer for writes, and the versions seen, which the shards validate at
 * commit (optimistic reads, Kung & Robinson, TODS 1981). Nothing is locked and nothing is sent before that.
 */
export class BufferedTransaction implements Transaction {
  private readonly seen = new Map<string, Promise<VersionedValue>>();
  private readonly versions = new Map<string, ReadVersion>();
  private readonly buffered = new Map<string, Write>();
  private bytes = 0;

  constructor(
    private readonly reader: SnapshotReader,
    readonly readTs: Timestamp,
    private readonly timeoutUs: number,
  ) {}

  async get(key: Bytes): Promise<Buffer | undefined> {
    return (await this.getMany([key]))[0];
  }

  async getMany(keys: readonly Bytes[]): Promise<(Buffer | undefined)[]> {
    const wanted = keys.map(keyBytes);
    this.fetch(wanted.filter((key) => !this.buffered.has(name(key)) && !this.seen.has(name(key))));
    return Promise.all(wanted.map((key) => this.valueOf(key)));
  }

  put(key: Bytes, value: Bytes): void {
    this.write({ key: keyBytes(key), value: valueBytes(value) });
  }

  delete(key: Bytes): void {
    this.write({ key: keyBytes(key), value: undefined });
  }

  /** The versions that must still be current at commit. */
  get reads(): ReadVersion[] {
    return [...this.versions.values()];
  }

  /** In key order. */
  get writes(): Write[] {
    return [...this.buffered.values()].sort((a, b) => compareBytes(a.key, b.key));
  }

  private async valueOf(key: Buffer): Promise<Buffer | undefined> {
    const own = this.buffered.get(name(key));
    if (own !== undefined) return own.value;
    return (await this.seen.get(name(key)))?.value;
  }

  /** One round for all: the same key is asked for once per attempt, so that it cannot have two values. */
  private fetch(keys: readonly Buffer[]): void {
    if (keys.length === 0) return;
    const distinct = [...new Map(keys.map((key) => [name(key), key])).values()];
    this.checkKeys(distinct.length);
    const round = this.reader.read(distinct, this.readTs, this.timeoutUs);
    distinct.forEach((key, index) => {
      const value = round.then((values) => {
        const found = values[index] as VersionedValue;
        this.versions.set(name(key), { key, version: found.version });
        return found;
      });
      value.catch(() => this.seen.delete(name(key))); // It may be asked for again.
      this.seen.set(name(key), value);
    });
  }

  private write(write: Write): void {
    const before = this.buffered.get(name(write.key));
    if (before === undefined) this.checkKeys(1);
    const bytes = this.bytes - sizeOf(before) + sizeOf(write);
    if (bytes > TRANSACTION_BYTES_MAX) {
      throw new SynodError(
        'invalid-argument',
        `the transaction writes ${bytes} bytes: at most ${TRANSACTION_BYTES_MAX}`,
      );
    }
    this.bytes = bytes;
    this.buffered.set(name(write.key), write);
  }

  private checkKeys(more: number): void {
    const count = this.seen.size + this.buffered.size + more;
    if (count <= TRANSACTION_KEYS_MAX) return;
    throw new SynodError('invalid-argument', `the transaction uses ${count} keys: at most ${TRANSACTION_KEYS_MAX}`);
  }
}

/** One character per byte: equal names are equal keys. */
function name(key: Buffer): string {
  return key.toString('latin1');
}

function sizeOf(write: Write | undefined): number {
  return write === undefined ? 0 : write.key.length + (write.value?.length ?? 0);
}
