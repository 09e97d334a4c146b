export { Wal, type WalOptions } from './wal';
export type { ReplayedRecord, WalRecord } from './record';
