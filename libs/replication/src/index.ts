export type {
  BarrierResult,
  Founding,
  Group,
  GroupId,
  GroupOptions,
  GroupStatus,
  Member,
  NodeId,
  Position,
  ProposeResult,
  StateMachine,
  TransferResult,
} from './api';
export {
  DEFAULT_TIMES,
  lostLog,
  ReplicaHost,
  type ReplicaHostOptions,
  type ReplicaHostPorts,
  type ReplicationObserver,
  type ReplicationTimes,
} from './replica-host';
export type { Identity } from './peer-link';
export { peerProtocol } from './peer-codec';
