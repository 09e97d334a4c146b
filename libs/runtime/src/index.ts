// Ports: how everything impure reaches a node. Each has a real adapter here and a deterministic twin in libs/simulation.
export type { Cancel, Clock, Timers } from './clock';
export type { Random } from './random';
export type { Disk, DiskFile, OpenOptions } from './disk';
export {
  STORE_KEY_BYTES_MAX,
  type Entry,
  type KeyRange,
  type Store,
  type StoreReader,
  type StoreSnapshot,
  type StoreTransaction,
} from './store';
export type { Codec, Connection, ConnectionHandler, Protocol, Transport } from './transport';
export { silentLog, type Log, type LogFields } from './log';
export { noProbes, type Probes } from './probes';
export { SynodError, type ErrorKind } from './errors';

// The real adapters. (The store's is in @synod/storage-engine, the transport's in @synod/rpc, the log's in @synod/service-kit.)
export { systemClock, systemTimers } from './system-time';
export { systemRandom } from './system-random';
export { openDisk } from './system-disk';
export { FolderInUse, lockFolder, type FolderLock } from './folder-lock';

// Rules that every adapter of a port shares.
export { compareBytes, prefixEnd, successor } from './byte-order';
export { crc32 } from './crc32';
export { diskFolderParts, diskNameParts } from './disk-name';

export { RELEASE } from './release';

// The contracts of the ports as jest suites, for the specs of adapters; they touch jest's globals only when called.
export { describeDisk, type DiskBench, type RunOnDisk } from './conformance/disk-conformance';
export { describeStore, type RunOnStore, type StoreBench } from './conformance/store-conformance';
export { describeRandom, describeTime, type RunOnTime, type TimeBench } from './conformance/time-conformance';
