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
} from './api';
