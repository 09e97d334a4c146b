export { Wal, type WalOptions } from './wal';
export { replay, type ReplayOptions } from './replay';
export type { ReplayedRecord, WalRecord } from './record';
