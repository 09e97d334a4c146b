import { invariant } from '@synod/invariant';
import { prefixEnd, STORE_KEY_BYTES_MAX, type Entry, type StoreReader, type StoreTransaction } from '@synod/runtime';
import { readAlarm, writeAlarm } from './alarm-codec';
import { ByteReader, ByteWriter } from './bytes';
import type { Alarm, KeyValue, LeaseId, Revision } from './requests';
import type { VersionPlace } from './results';
import type { Span } from './span';

/** The newest version of a key, without its value. `version` 0 marks a deletion that history still needs. */
export interface Latest {
  readonly place: VersionPlace;
  readonly createRevision: Revision;
  readonly version: bigint;
  readonly lease: LeaseId;
}

/** One version of one key, kept by the revision that made it. `version` 0 marks a deletion. */
export interface Version {
  readonly place: VersionPlace;
  readonly key: Buffer;
  readonly value: Buffer;
  readonly createRevision: Revision;
  readonly version: bigint;
  readonly lease: LeaseId;
  /** The version that this one replaced; undefined at the first. It may have been compacted away. */
  readonly previous: VersionPlace | undefined;
}

export interface Lease {
  readonly id: LeaseId;
  readonly ttlSeconds: bigint;
  /** What a leader that knows nothing newer counts from: the last checkpoint, or the whole time. */
  readonly remainingSeconds: bigint;
}

/** The store's counters. */
export interface Meta {
  readonly revision: Revision;
  /** States before this revision are gone; −1 before the first compaction. */
  readonly compacted: Revision;
  /** Everything a compaction had to remove before this place is removed. */
  readonly removedBefore: VersionPlace;
  /** In the order they were raised; each kind once per member. */
  readonly alarms: readonly Alarm[];
}

const NEW_STORE: Meta = { revision: 1n, compacted: -1n, removedBefore: { revision: 0n, sub: 0 }, alarms: [] };
const NO_ALARMS: readonly Alarm[] = [];
const META = Buffer.from('m');
const LATEST = Buffer.from('k');
const VERSION = Buffer.from('v');
const LEASE = Buffer.from('l');
const ATTACHED = Buffer.from('a');

/**
 * How the coordination store lies in the ordered store of a node. Below the group's prefix:
 *
 * | key | value |
 * | --- | --- |
 * | `m` | `Meta` |
 * | `k` key | `Latest`: what a range of the present walks |
 * | `v` revision, sub | `Version`: the history in the order it was made, each value once |
 * | `l` lease | its time to live, and what was left of it when that was last logged |
 * | `a` lease, key | nothing: the keys a lease holds |
 *
 * A version names the one it replaced, so a past state is found by walking back from the present, and compaction is one walk over
 * the history in order. (etcd keeps an index of all revisions of a key in memory instead: mvcc/key_index.go.)
 */
export class KeySpace {
  private metaKey!: Buffer;
  private latestPrefix!: Buffer;
  private versionPrefix!: Buffer;
  /** The counters as they were last read or set there. Every change of them goes through here and takes the place of this. */
  private known: { readonly reader: StoreReader; readonly meta: Meta } | undefined;
  /** Set in the transaction of `known`, and not written yet. Invariant `counters-are-written`: no transaction ends so. */
  private unwritten = false;

  constructor(private prefix: Buffer) {
    this.moveTo(prefix);
  }

  /** The same keys; does not move along. */
  copy(): KeySpace {
    return new KeySpace(this.prefix);
  }

  /** From now on everything lies below another prefix. */
  moveTo(prefix: Buffer): void {
    this.prefix = prefix;
    this.metaKey = this.at(META);
    this.latestPrefix = this.at(LATEST);
    this.versionPrefix = this.at(VERSION);
    this.known = undefined;
  }

  meta(reader: StoreReader): Meta {
    if (this.known?.reader === reader) return this.known.meta;
    invariant(!this.unwritten, 'counters-are-written');
    const bytes = reader.get(this.metaKey);
    const meta = bytes === undefined ? NEW_STORE : decodeMeta(bytes);
    this.known = { reader, meta };
    return meta;
  }

  /** To be followed by `writeMeta`: most commands count on, and what they share is written once. */
  setMeta(transaction: StoreTransaction, meta: Meta): void {
    this.known = { reader: transaction, meta };
    this.unwritten = true;
  }

  /** Before the transaction ends, and before its records are read as they lie. */
  writeMeta(transaction: StoreTransaction): void {
    if (!this.unwritten) return;
    const meta = this.meta(transaction);
    this.unwritten = false;
    const fields = writePlace(new ByteWriter().int64(meta.revision).int64(meta.compacted), meta.removedBefore);
    // Nothing at all if there are none: as releases before there were alarms wrote it.
    if (meta.alarms.length > 0) fields.varint(meta.alarms.length);
    for (const alarm of meta.alarms) writeAlarm(fields, alarm);
    transaction.put(this.metaKey, fields.lend());
  }

  latest(reader: StoreReader, key: Buffer): Latest | undefined {
    const bytes = reader.get(this.latestKey(key));
    return bytes === undefined ? undefined : decodeLatest(bytes);
  }

  /** The newest version of every key of a span in key order, deletions included. */
  *latestIn(reader: StoreReader, span: Span): Generator<{ readonly key: Buffer; readonly latest: Latest }> {
    if (span.end !== undefined && Buffer.compare(span.start, span.end) >= 0) return;
    const end = span.end === undefined ? this.after(LATEST) : joined(this.latestPrefix, span.end);
    const skip = this.latestPrefix.length;
    for (const { key, value } of reader.range({ start: joined(this.latestPrefix, span.start), end })) {
      yield { key: key.subarray(skip), latest: decodeLatest(value) };
    }
  }

  removeLatest(transaction: StoreTransaction, key: Buffer): void {
    transaction.remove(this.latestKey(key));
  }

  version(reader: StoreReader, place: VersionPlace): Version | undefined {
    const bytes = reader.get(this.versionKey(place));
    return bytes === undefined ? undefined : decodeVersion(place, bytes);
  }

  /** The history from `start` on, in the order it was made. */
  *versionsFrom(reader: StoreReader, start: VersionPlace): Generator<Version> {
    for (const { key, value } of reader.range({ start: this.versionKey(start), end: this.after(VERSION) })) {
      const at = this.versionPrefix.length;
      yield decodeVersion({ revision: key.readBigInt64BE(at), sub: key.readUInt32BE(at + 8) }, value);
    }
  }

  /** Adds a version to the history and makes it the newest of its key. */
  addVersion(transaction: StoreTransaction, version: Version): void {
    transaction.put(this.versionKey(version.place), encodeVersion(version));
    transaction.put(this.latestKey(version.key), encodeLatest(version));
  }

  removeVersion(transaction: StoreTransaction, place: VersionPlace): void {
    transaction.remove(this.versionKey(place));
  }

  lease(reader: StoreReader, id: LeaseId): Lease | undefined {
    const bytes = reader.get(this.at(LEASE, int64(id)));
    return bytes === undefined ? undefined : decodeLease(id, bytes);
  }

  *leases(reader: StoreReader): Generator<Lease> {
    const skip = this.prefix.length + LEASE.length;
    for (const { key, value } of reader.range({ start: this.at(LEASE, NOTHING), end: this.after(LEASE) })) {
      yield decodeLease(key.readBigInt64BE(skip), value);
    }
  }

  /** Adds a lease, or changes what is known of one. */
  setLease(transaction: StoreTransaction, { id, ttlSeconds, remainingSeconds }: Lease): void {
    // The whole time is not written: as releases before there were checkpoints wrote it.
    const fields = remainingSeconds === ttlSeconds ? [ttlSeconds] : [ttlSeconds, remainingSeconds];
    transaction.put(this.at(LEASE, int64(id)), Buffer.concat(fields.map(int64)));
  }

  removeLease(transaction: StoreTransaction, id: LeaseId): void {
    transaction.remove(this.at(LEASE, int64(id)));
  }

  /** The keys that a lease holds, in key order. */
  attachedKeys(reader: StoreReader, id: LeaseId): Buffer[] {
    const start = this.at(ATTACHED, int64(id));
    return [...reader.range({ start, end: prefixEnd(start) ?? this.after(ATTACHED) })].map(({ key }) =>
      key.subarray(start.length),
    );
  }

  attach(transaction: StoreTransaction, id: LeaseId, key: Buffer): void {
    transaction.put(this.at(ATTACHED, int64(id), key), NOTHING);
  }

  detach(transaction: StoreTransaction, id: LeaseId, key: Buffer): void {
    transaction.remove(this.at(ATTACHED, int64(id), key));
  }

  /** Every record of the group as it lies in the store, from `start` on, keys without the group's prefix. */
  *records(reader: Pick<StoreReader, 'range'>, start: Buffer): Generator<Entry> {
    const end = prefixEnd(this.prefix) ?? ALL_KEYS_END;
    for (const { key, value } of reader.range({ start: this.at(start), end })) {
      yield { key: key.subarray(this.prefix.length), value };
    }
  }

  private latestKey(key: Buffer): Buffer {
    return joined(this.latestPrefix, key);
  }

  private versionKey(place: VersionPlace): Buffer {
    const { versionPrefix } = this;
    const bytes = Buffer.allocUnsafe(versionPrefix.length + 12);
    bytes.set(versionPrefix);
    bytes.writeBigInt64BE(place.revision, versionPrefix.length);
    bytes.writeUInt32BE(place.sub, versionPrefix.length + 8);
    return bytes;
  }

  private at(...parts: Buffer[]): Buffer {
    return Buffer.concat([this.prefix, ...parts]);
  }

  /** The end of everything of one kind. */
  private after(kind: Buffer): Buffer {
    return this.at(Buffer.from([(kind[0] ?? 0) + 1]));
  }
}

function joined(prefix: Buffer, rest: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(prefix.length + rest.length);
  bytes.set(prefix);
  bytes.set(rest, prefix.length);
  return bytes;
}

/** The key of a client that a record is about: undefined for counters, leases and whatever else there may be. */
export function keyOfRecord({ key, value }: Entry): Buffer | undefined {
  switch (key[0]) {
    case LATEST[0]:
      return key.subarray(1);
    case ATTACHED[0]:
      return key.subarray(1 + 8);
    case VERSION[0]:
      return decodeVersion({ revision: 0n, sub: 0 }, value).key;
    default:
      return undefined;
  }
}

export interface RecordCounts {
  /** That exist now. */
  readonly keys: number;
  /** Of keys, past ones and deletions included. */
  readonly versions: number;
  readonly leases: number;
}

/** Adds records to what was counted before. */
export function countRecords(records: readonly Entry[], before: RecordCounts): RecordCounts {
  let { keys, versions, leases } = before;
  for (const { key, value } of records) {
    if (key[0] === LATEST[0] && decodeLatest(value).version > 0n) keys++;
    else if (key[0] === VERSION[0]) versions++;
    else if (key[0] === LEASE[0]) leases++;
  }
  return { keys, versions, leases };
}

/** Longer keys are refused, so that every key of ours stays inside the store's own limit of 1,900 bytes. */
export const KEY_BYTES_MAX = 1536;

const NOTHING = Buffer.alloc(0);
/** Above every key that a store takes. */
const ALL_KEYS_END = Buffer.alloc(STORE_KEY_BYTES_MAX + 1, 0xff);

/** A version as an entry of a range. */
export function entryOf(version: Version): KeyValue {
  return {
    key: version.key,
    value: version.value,
    createRevision: version.createRevision,
    modRevision: version.place.revision,
    version: version.version,
    lease: version.lease,
  };
}

function decodeLease(id: LeaseId, bytes: Buffer): Lease {
  const ttlSeconds = bytes.readBigInt64BE(0);
  return { id, ttlSeconds, remainingSeconds: bytes.length > 8 ? bytes.readBigInt64BE(8) : ttlSeconds };
}

function int64(value: bigint): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigInt64BE(value);
  return bytes;
}

function writePlace(fields: ByteWriter, place: VersionPlace): ByteWriter {
  return fields.int64(place.revision).varint(place.sub);
}

function readPlace(fields: ByteReader): VersionPlace {
  return { revision: fields.int64(), sub: fields.varint() };
}

/** @returns what is only lent: see `ByteWriter.lend` */
function encodeLatest(latest: Latest): Buffer {
  const fields = writePlace(new ByteWriter(), latest.place);
  return fields.int64(latest.createRevision).int64(latest.version).int64(latest.lease).lend();
}

function decodeMeta(bytes: Buffer): Meta {
  const fields = new ByteReader(bytes);
  const counters = { revision: fields.int64(), compacted: fields.int64(), removedBefore: readPlace(fields) };
  if (fields.isAtEnd) return { ...counters, alarms: NO_ALARMS };
  return { ...counters, alarms: Array.from({ length: fields.varint() }, () => readAlarm(fields)) };
}

function decodeLatest(bytes: Buffer): Latest {
  const fields = new ByteReader(bytes);
  const place = readPlace(fields);
  return { place, createRevision: fields.int64(), version: fields.int64(), lease: fields.int64() };
}

/** @returns what is only lent: see `ByteWriter.lend` */
function encodeVersion(version: Version): Buffer {
  const fields = writePlace(new ByteWriter(), version.previous ?? { revision: 0n, sub: 0 });
  fields.int64(version.createRevision).int64(version.version).int64(version.lease);
  return fields.blob(version.key).blob(version.value).lend();
}

function decodeVersion(place: VersionPlace, bytes: Buffer): Version {
  const fields = new ByteReader(bytes);
  const previous = readPlace(fields);
  return {
    place,
    previous: previous.revision === 0n ? undefined : previous,
    createRevision: fields.int64(),
    version: fields.int64(),
    lease: fields.int64(),
    key: fields.blob(),
    value: fields.blob(),
  };
}
