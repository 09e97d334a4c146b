import { invariant } from '@synod/invariant';
import { newestVersion, putVersion, readAt, scanPage, type ScanPage, type Version } from '@synod/storage-engine';
import { prefixEnd, type StoreReader, type StoreTransaction } from '@synod/runtime';
import {
  sameTxn,
  UNDECIDED,
  WORKING,
  type DecisionRecord,
  type Key,
  type Lock,
  type ParticipantState,
  type ShardView,
  type Timestamp,
  type TxnHandle,
} from '@synod/two-phase-commit';
import { keyBytes, keyText } from './key-text';
import {
  decodeDecision,
  decodeIntent,
  decodePrepared,
  decodeSharedLocks,
  decodeStoredDecision,
  encodeDecision,
  encodeIntent,
  encodePrepared,
  encodeSharedLocks,
  encodeStoredDecision,
  handleBytes,
  type StoredDecision,
  type Value,
} from './row-codec';

/**
 * Rows of a shard, by the byte after the group's prefix. Part of the disk format: a number is never given to other rows.
 *
 * | byte | key after it | value |
 * | --- | --- | --- |
 * | 1 | the user's key encoded, ~commit timestamp | a version, or a deletion |
 * | 2 | the user's key | the intent on it |
 * | 3 | the user's key | all shared locks on it |
 * | 4 | transaction id, anchor | participation in doubt: locks held, attempt |
 * | 5 | transaction id, anchor | how participation ended; the tombstone that refuses what comes late |
 * | 6 | transaction id, anchor | the decision record, if this is the anchor |
 */
const ROWS = { versions: 1, intents: 2, sharedLocks: 3, prepared: 4, ended: 5, decisions: 6 } as const;

/** Keys and values of a page, about: so that it fits in a message. */
const PAGE_BYTES_MAX = 1 << 20;

/** The replicated state of one shard, as rows of the node's store. */
export class ShardRows implements ShardView {
  private versions: Buffer;

  /** @param prefix of the shard's group in the store */
  constructor(
    protected readonly reader: StoreReader,
    protected prefix: Buffer,
  ) {
    this.versions = this.row(ROWS.versions);
  }

  /** From now on everything lies below another prefix. */
  moveTo(prefix: Buffer): void {
    this.prefix = prefix;
    this.versions = this.row(ROWS.versions);
  }

  participation(txn: TxnHandle): ParticipantState {
    const prepared = this.reader.get(this.txnRow(ROWS.prepared, txn));
    if (prepared !== undefined) return decodePrepared(prepared);
    const ended = this.reader.get(this.txnRow(ROWS.ended, txn));
    if (ended === undefined) return WORKING;
    const decision = decodeDecision(ended);
    return decision.state === 'committed'
      ? { phase: 'committed', attempt: decision.attempt, commitTs: decision.commitTs }
      : { phase: 'aborted', attempt: decision.attempt };
  }

  decision(txn: TxnHandle): DecisionRecord {
    return this.storedDecision(txn)?.record ?? UNDECIDED;
  }

  storedDecision(txn: TxnHandle): StoredDecision | undefined {
    const row = this.reader.get(this.txnRow(ROWS.decisions, txn));
    return row === undefined ? undefined : decodeStoredDecision(row);
  }

  newestVersion(key: Key): Timestamp {
    return newestVersion(this.reader, this.versions, keyBytes(key)) ?? 0n;
  }

  intent(key: Key): Lock | undefined {
    return this.intentRow(key)?.lock;
  }

  sharedLocks(key: Key): readonly Lock[] {
    const row = this.reader.get(this.keyRow(ROWS.sharedLocks, key));
    return row === undefined ? [] : decodeSharedLocks(row);
  }

  /** The newest version at or below `ts`, a deletion included. Knows nothing of intents. */
  readAt(key: Uint8Array, ts: Timestamp): Version | undefined {
    return readAt(this.reader, this.versions, key, ts);
  }

  /**
   * A page of the live keys in `[start, end)` at `ts`, in byte order; it may be short, even empty, without being the last. Knows nothing
   * of intents.
   * @param end undefined for all from `start` on
   */
  page(start: Uint8Array, end: Uint8Array | undefined, ts: Timestamp, limit: number): ScanPage {
    return scanPage(this.reader, { prefix: this.versions, start, end, timestamp: ts, limit, bytesMax: PAGE_BYTES_MAX });
  }

  /** Intents on keys in `[start, end)`, lazily and in byte order; from `start` on without an end. */
  *intentsIn(start: Uint8Array, end: Uint8Array | undefined): Iterable<{ key: Key; lock: Lock }> {
    const prefix = this.row(ROWS.intents);
    const range = {
      start: Buffer.concat([prefix, start]),
      end: end === undefined ? this.rowRange(ROWS.intents).end : Buffer.concat([prefix, end]),
    };
    for (const entry of this.reader.range(range)) {
      yield { key: keyText(entry.key.subarray(prefix.length)), lock: decodeIntent(entry.value).lock };
    }
  }

  /** Everything that is in doubt here. */
  *allPrepared(): Iterable<ParticipantState & { phase: 'prepared' }> {
    for (const entry of this.reader.range(this.rowRange(ROWS.prepared))) yield decodePrepared(entry.value);
  }

  protected intentRow(key: Key): { lock: Lock; value: Value } | undefined {
    const row = this.reader.get(this.keyRow(ROWS.intents, key));
    return row === undefined ? undefined : decodeIntent(row);
  }

  protected row(kind: number): Buffer {
    return Buffer.concat([this.prefix, Buffer.of(kind)]);
  }

  protected keyRow(kind: number, key: Key): Buffer {
    return Buffer.concat([this.prefix, Buffer.of(kind), keyBytes(key)]);
  }

  protected txnRow(kind: number, txn: TxnHandle): Buffer {
    return Buffer.concat([this.prefix, Buffer.of(kind), handleBytes(txn)]);
  }

  private rowRange(kind: number): { start: Buffer; end: Buffer } {
    const start = this.row(kind);
    return { start, end: prefixEnd(start) ?? Buffer.of(0xff) };
  }
}

/** The same rows inside a transaction: what applying a command changes. */
export class ShardRowsWriter extends ShardRows {
  constructor(
    private readonly transaction: StoreTransaction,
    prefix: Buffer,
  ) {
    super(transaction, prefix);
  }

  putIntent(key: Key, lock: Lock, value: Value): void {
    this.transaction.put(this.keyRow(ROWS.intents, key), encodeIntent(lock, value));
  }

  dropIntent(key: Key): void {
    this.transaction.remove(this.keyRow(ROWS.intents, key));
  }

  putSharedLock(key: Key, lock: Lock): void {
    this.transaction.put(this.keyRow(ROWS.sharedLocks, key), encodeSharedLocks([...this.sharedLocks(key), lock]));
  }

  dropSharedLock(key: Key, txn: TxnHandle): void {
    const rest = this.sharedLocks(key).filter((lock) => !sameTxn(lock.txn, txn));
    const row = this.keyRow(ROWS.sharedLocks, key);
    if (rest.length === 0) this.transaction.remove(row);
    else this.transaction.put(row, encodeSharedLocks(rest));
  }

  /** The value under an intent becomes a version. */
  commitIntent(key: Key, commitTs: Timestamp): void {
    const intent = this.intentRow(key);
    invariant(intent !== undefined, 'prepared-keeps-its-intents');
    this.dropIntent(key);
    this.putVersion(key, commitTs, intent.value);
  }

  putVersion(key: Key, commitTs: Timestamp, value: Value): void {
    putVersion(this.transaction, this.row(ROWS.versions), keyBytes(key), commitTs, value);
  }

  putParticipation(txn: TxnHandle, state: ParticipantState): void {
    const prepared = this.txnRow(ROWS.prepared, txn);
    const ended = this.txnRow(ROWS.ended, txn);
    switch (state.phase) {
      case 'working':
        this.transaction.remove(prepared);
        this.transaction.remove(ended);
        return;
      case 'prepared':
        this.transaction.put(prepared, encodePrepared(state));
        return;
      case 'committed':
        this.transaction.remove(prepared);
        this.transaction.put(
          ended,
          encodeDecision({ state: 'committed', attempt: state.attempt, commitTs: state.commitTs }),
        );
        return;
      case 'aborted':
        this.transaction.remove(prepared);
        this.transaction.put(ended, encodeDecision({ state: 'aborted', attempt: state.attempt }));
        return;
    }
  }

  putDecision(txn: TxnHandle, stored: StoredDecision): void {
    this.transaction.put(this.txnRow(ROWS.decisions, txn), encodeStoredDecision(stored));
  }
}
