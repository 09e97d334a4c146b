// Transactions: handles, versions, records.
export type {
  ReadVersion,
  ShardId,
  Timestamp,
  TxnAttempt,
  TxnHandle,
  TxnId,
  TxnOutcome,
  TxnRecord,
  Write,
} from './transaction';
// What services ask each other over batched streams.
export type { RemoteError, Row, StorageRequest, StorageResponse } from './storage';
export type { TimestampRequest, TimestampResponse } from './oracle';
export type { CoordinatorRequest, CoordinatorResponse } from './coordinator';
