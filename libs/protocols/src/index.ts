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
export { KEY_BYTES_MAX, TRANSACTION_BYTES_MAX, TRANSACTION_KEYS_MAX, VALUE_BYTES_MAX } from './limits';
// What services ask each other over batched streams.
export type { RemoteError, Row, StorageRequest, StorageResponse } from './storage';
export type { TimestampRequest, TimestampResponse } from './oracle';
export type { CoordinatorRequest, CoordinatorResponse } from './coordinator';
export { storageProtocol, type StorageProtocol } from './storage-codec';
export { oracleProtocol, type OracleProtocol } from './oracle-codec';
export { coordinatorProtocol, type CoordinatorProtocol } from './coordinator-codec';
// The streams themselves.
export {
  remoteError,
  RequestStream,
  serveRequests,
  thrownError,
  type ErrorResponse,
  type Numbered,
  type RequestProtocol,
} from './request-stream';
export { errorFromWire } from './wire';
