import type { StoreReader, StoreTransaction } from '@synod/runtime';
import type { GroupConfiguration, GroupId } from './api';

/** First bytes of the keys. No group's name begins with 0, so they are apart from the group states. */
const PREFIX = Buffer.from([0x00, 0x00]);

/** The configuration of a group after everything that the store has applied; nothing for one that still has its founding one. */
export function readConfiguration(reader: StoreReader, group: GroupId): GroupConfiguration | undefined {
  const bytes = reader.get(key(group));
  return bytes === undefined ? undefined : (JSON.parse(bytes.toString()) as GroupConfiguration);
}

/** Written in the transaction that applies the change, or that makes a snapshot the state: configuration and applied index are never apart. */
export function writeConfiguration(
  transaction: StoreTransaction,
  group: GroupId,
  configuration: GroupConfiguration,
): void {
  transaction.put(key(group), Buffer.from(JSON.stringify(configuration)));
}

function key(group: GroupId): Buffer {
  return Buffer.concat([PREFIX, Buffer.from(group)]);
}
