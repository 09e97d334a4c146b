// The coordination store, as the other services use it.
export type {
  Compare,
  Coordination,
  CoordinationEntry,
  CoordinationEvent,
  Operation,
  TransactionResult,
  WatchHandler,
} from './port';

// The cluster's own metadata in it.
export {
  clusterCodec,
  clusterKey,
  nodeCodec,
  nodeKey,
  nodesPrefix,
  oracleCodec,
  oracleKey,
  placementCodec,
  placementKey,
  placementPrefix,
  prefixRange,
  RESERVED_PREFIX,
  SERVICES,
  type ClusterRecord,
  type MetadataCodec,
  type NodeRegistration,
  type OracleRecord,
  type PlacedReplica,
  type Service,
  type ShardPlacement,
} from './metadata';
export { RangeMirror } from './range-mirror';
export { NodeDirectory, Registration, REGISTRATION_TTL_SECONDS } from './registry';
export { PlacementView, type FoundedCluster } from './placement';
export { foundingPlacements, Planner, PLANNER_DEFAULTS, type PlannerOptions, type PlannerStatus } from './planner';
export {
  LOGICAL_BITS,
  ORACLE_DEFAULTS,
  TimestampOracle,
  TIMESTAMPS_MAX,
  type OracleOptions,
  type TimestampRange,
} from './oracle';

// Over the etcd v3 API: ours, or an etcd cluster's.
export { EtcdCoordination, type EtcdOptions, type EtcdPorts } from './etcd-client';
// Many requests to its keys on one stream: ours only.
export { KvStream } from './kv-stream';
export type { EtcdCredentials } from './etcd-session';
export { credentialsSetting, readCredentials } from './etcd-credentials';
export { consensusTls } from './consensus-tls';
// Over the Transport port, for simulation.
export { StreamCoordination } from './stream-client';
export { serveCoordination } from './stream-server';
export { coordinationProtocol, coordinationWatchProtocol } from './stream-protocol';

// Doubles for specs.
export { MemoryCoordination, type CallFate, type CallName } from './memory-coordination';
export { ManualTime } from './manual-time';
