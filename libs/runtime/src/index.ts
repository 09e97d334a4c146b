// Ports: how everything impure reaches a node. Each has a real adapter here and a deterministic twin in libs/simulation.
export type { Cancel, Clock, Timers } from './clock';
export type { Random } from './random';
export type { Disk, DiskFile } from './disk';
export type { Entry, KeyRange, Store, StoreReader, StoreTransaction } from './store';
export type { Codec, Connection, ConnectionHandler, Protocol, Transport } from './transport';
export type { Log, LogFields } from './log';
export { noProbes, type Probes } from './probes';
export { SynodError, type ErrorKind } from './errors';
