import { createHash } from 'node:crypto';
import { NO_BALLOT, type Ballot, type Instance } from '@synod/paxos';
import { prefixEnd, type StoreReader, type StoreTransaction } from '@synod/runtime';
import type { GroupId } from './api';

/** First byte of the keys that belong to replication itself. Groups' own prefixes start above it. */
const STATES = Buffer.from([0x00]);
/** First byte of second slots. Groups' own prefixes start below it. */
const SECOND_SLOT = Buffer.from([0xfe]);
/** A value without the snapshot and what follows. */
const APPLIED_BYTES = 6;
/** A value without the term. */
const SLOT_BYTES = 13;

/** Which of its two places in the store a group's state lies in: a snapshot is written to the other one, and takes over in one step. */
export type Slot = 0 | 1;

/** What the store holds of a group. */
export interface GroupState {
  /** The state is that after this instance; 0 if nothing was applied. */
  readonly appliedThrough: Instance;
  /** What came by snapshot: the log need not hold it. */
  readonly snapshotThrough: Instance;
  readonly slot: Slot;
  /** Highest ballot that a value of the log through `appliedThrough` names: what lower ones proposed changes nothing any more. */
  readonly term: Ballot;
}

const EMPTY: GroupState = { appliedThrough: 0, snapshotThrough: 0, slot: 0, term: NO_BALLOT };

/**
 * What is read from one view of the store, the state with its index.
 * A value is applied u48, snapshot u48, slot u8, term (round u32, replica u32). It has grown to that: one that ends after the applied index
 * has no snapshot, one that ends after the slot no term.
 */
export function readGroupState(reader: StoreReader, group: GroupId): GroupState {
  const bytes = reader.get(key(group));
  if (bytes === undefined) return EMPTY;
  const appliedThrough = bytes.readUIntBE(0, 6);
  if (bytes.length === APPLIED_BYTES) return { ...EMPTY, appliedThrough };
  const snapshotThrough = bytes.readUIntBE(6, 6);
  const slot = bytes.readUInt8(12) === 0 ? 0 : 1;
  if (bytes.length === SLOT_BYTES) return { ...EMPTY, appliedThrough, snapshotThrough, slot };
  return {
    appliedThrough,
    snapshotThrough,
    slot,
    term: { round: bytes.readUInt32BE(13), replica: bytes.readUInt32BE(17) },
  };
}

/** Written in the transaction that holds the effects, or that makes a snapshot the state, never apart. */
export function writeGroupState(transaction: StoreTransaction, group: GroupId, state: GroupState): void {
  const bytes = Buffer.allocUnsafe(SLOT_BYTES + 8);
  bytes.writeUIntBE(state.appliedThrough, 0, 6);
  bytes.writeUIntBE(state.snapshotThrough, 6, 6);
  bytes.writeUInt8(state.slot, 12);
  bytes.writeUInt32BE(state.term.round, 13);
  bytes.writeUInt32BE(state.term.replica, 17);
  transaction.put(key(group), bytes);
}

/** Where the keys of a group lie. @param prefix the one that the group was added with, which is that of the first slot */
export function slotPrefix(prefix: Buffer, slot: Slot): Buffer {
  return slot === 0 ? prefix : Buffer.concat([SECOND_SLOT, prefix]);
}

export function otherSlot(slot: Slot): Slot {
  return slot === 0 ? 1 : 0;
}

/** A digest of a group's state in one view of a store: the same wherever the same commands were applied. For checkers. */
export function stateDigest(reader: StoreReader, group: GroupId, prefix: Buffer): string {
  const start = slotPrefix(prefix, readGroupState(reader, group).slot);
  const hash = createHash('sha256');
  for (const { key: name, value } of reader.range({ start, end: prefixEnd(start) ?? Buffer.from([0xff]) })) {
    hash
      .update(`${name.length - start.length},${value.length}:`)
      .update(name.subarray(start.length))
      .update(value);
  }
  return hash.digest('hex');
}

function key(group: GroupId): Buffer {
  return Buffer.concat([STATES, Buffer.from(group)]);
}
