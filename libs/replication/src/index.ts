export { VALUE_BYTES_MAX } from './api';
export type {
  BarrierResult,
  ChangeResult,
  Founding,
  Group,
  GroupConfiguration,
  GroupId,
  GroupMember,
  GroupOptions,
  GroupStatus,
  Member,
  NodeId,
  Position,
  ProposeResult,
  ReconfigurableGroup,
  StateMachine,
  TransferResult,
} from './api';
export {
  DEFAULT_LOG_LIMITS,
  DEFAULT_TIMES,
  type LeaseOptions,
  type LogLimits,
  type Rebuilt,
  type ReplicaHostOptions,
  type ReplicaHostPorts,
  type ReplicationObserver,
  type ReplicationTimes,
} from './options';
export { lostLog } from './refusals';
export { ReplicaHost } from './replica-host';
export { stateDigest, writeGroupState, type GroupState } from './group-states';
export { writeFoundingLog } from './founding-log';
export { survivingGroup, type SurvivingGroup, type SurvivingGroupOptions } from './surviving-group';
export type { Identity } from './peer-link';
export { peerProtocol } from './peer-codec';
