import type { Store, StoreTransaction } from '@synod/runtime';
import type { GroupConfiguration, GroupId } from './api';

/** First bytes of the keys. No group's name begins with 0, so they are apart from the applied indexes. */
const PREFIX = Buffer.from([0x00, 0x00]);

/**
 * The configuration of each group after everything that the store has applied; nothing for a group that still has its founding one.
 * Written in the transaction that applies the change, so that configuration and applied index are never apart.
 */
export class StoredConfigurations {
  constructor(private readonly store: Store) {}

  of(group: GroupId): GroupConfiguration | undefined {
    const bytes = this.store.get(key(group));
    return bytes === undefined ? undefined : (JSON.parse(bytes.toString()) as GroupConfiguration);
  }

  set(transaction: StoreTransaction, group: GroupId, configuration: GroupConfiguration): void {
    transaction.put(key(group), Buffer.from(JSON.stringify(configuration)));
  }
}

function key(group: GroupId): Buffer {
  return Buffer.concat([PREFIX, Buffer.from(group)]);
}
