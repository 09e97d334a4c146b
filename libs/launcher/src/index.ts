// What a cluster on one machine consists of.
export {
  addressesOf,
  addressOf,
  DEFAULT_PORT_BASE,
  DEFAULT_SHAPE,
  fixedPorts,
  flagsOf,
  listedPorts,
  planCluster,
  portCount,
  type ClusterPlan,
  type ClusterShape,
  type PortAllocator,
  type Ports,
  type ProcessPlan,
} from './cluster-plan';
export { planOf } from './cluster-folder';
export { freePorts, refuseTakenPorts } from './free-ports';
// Its processes.
export { NODE_FLAGS } from './node-flags';
export { Supervisor, type RunningProcess, type SupervisorEvent, type SupervisorOptions } from './supervisor';
export { watchNpm, watchParent } from './ancestors';
