export { LmdbStore, openStore, type StoreOptions, type StoreUsage } from './lmdb-store';
export { checkStoreFile } from './store-file';
export { checkStorePages } from './store-check';

// Versions of keys, over any StoreReader.
export { newestVersion, putVersion, readAt, type Version } from './mvcc';
export { scanAt, scanPage, type PageOptions, type ScanEntry, type ScanPage } from './mvcc-scan';
export {
  decodeKey,
  mvccKey,
  startOf,
  timestampOf,
  TIMESTAMP_MAX,
  versionKey,
  versionsEnd,
  versionsStart,
} from './mvcc-key';
