// The client of a cluster.
export { connect, type ConnectOptions } from './connect';
export { SynodClient, type ClusterStatus, type ShardStatus } from './synod-client';
export type { Transaction } from './transaction';
export type { Committed, TransactionOptions } from './transaction-client';
export type { ScanOptions, ScanPage } from './key-value-client';
export type { AttemptOutcome } from './committer';
export { formatHandle, OutcomeUnknownError, parseHandle } from './outcome-unknown-error';
export type { Bytes } from './limits';
export { KEY_BYTES_MAX, TRANSACTION_BYTES_MAX, TRANSACTION_KEYS_MAX, VALUE_BYTES_MAX } from '@synod/protocols';

// Its parts, for services that are clients of one another.
export type { ClientPorts } from './ports';
export { Routing } from './routing';
export { ShardRouter, type ShardRequestOptions, type StorageAnswer } from './shard-router';
export { TimestampClient } from './timestamp-client';
export { SnapshotReader, type VersionedValue } from './snapshot-reader';
export { BufferedTransaction } from './transaction';
export { Committer } from './committer';
export { KeyValueClient } from './key-value-client';
export { TransactionClient } from './transaction-client';
export { scanShards, type ScanRange } from './scan';
export { Seeker, type AskOptions, type Target } from './seeker';
export { Backoff } from './backoff';

// Doubles for specs: a cluster in memory.
export { MemoryCluster, ORACLE_NODES, STORAGE_NODES, storageAddress } from './doubles/memory-cluster';
export { MemoryNetwork, type MessageFate, type MessageOnItsWay } from './doubles/memory-network';
export { MemoryShard } from './doubles/memory-shard';

// MapReduce jobs.
export {
  MapReduceClient,
  runJob,
  type JobProgress,
  type JobRequest,
  type JobState,
  type JobWorker,
  type RunOptions,
  type TaskCounts,
  type TaskStatus,
} from './mapreduce';
export { bundleProgram, type ProgramBundle } from './mapreduce-bundle';
