// A whole cluster in one process, on virtual time, from one seed.
export { World, type WorldOptions } from './world';
export { CALM, type DiskShape, type NetworkShape, type TimerShape, type WorldShape } from './shape';
export { SimNode, type CrashKind, type Incarnation, type MakeHost, type NodeOptions, type NodePorts } from './sim-node';
export { SeedFailure } from './failure';
export { Draws, draw } from './draw';
export { SometimesRegistry } from './sometimes';
export type { Direction, Network } from './network';
export type { SimDisk } from './sim-disk';
export type { SimStore } from './sim-store';
export type { ClockError, SimClock } from './sim-clock';
export { Trace } from './trace';

// What goes wrong, as data drawn from the seed, and who does it.
export {
  FAULT_KINDS,
  LEADER,
  type CutForm,
  type FaultKind,
  type FaultPlan,
  type NemesisAction,
  type NodeClog,
  type Target,
} from './fault-plan';
export { drawFaultPlan, type PlanOptions } from './draw-plan';
export { Nemesis, type NemesisOptions } from './nemesis';
