import type { Store, StoreTransaction } from '@synod/runtime';
import type { GroupId } from './api';

/** First byte of the keys that belong to replication itself. Groups' own prefixes start above it. */
const PREFIX = Buffer.from([0x00]);

/** How far each group's log has been applied to the store. Written in the transaction that holds the effects, never apart. */
export class AppliedIndexes {
  constructor(private readonly store: Store) {}

  /** @returns 0 if nothing of the group was applied */
  of(group: GroupId): number {
    const bytes = this.store.get(key(group));
    return bytes === undefined ? 0 : bytes.readUIntBE(0, 6);
  }

  set(transaction: StoreTransaction, group: GroupId, appliedThrough: number): void {
    const bytes = Buffer.alloc(6);
    bytes.writeUIntBE(appliedThrough, 0, 6);
    transaction.put(key(group), bytes);
  }
}

function key(group: GroupId): Buffer {
  return Buffer.concat([PREFIX, Buffer.from(group)]);
}
