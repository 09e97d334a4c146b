// A whole cluster in one process, on virtual time, from one seed.
export { World, type WorldOptions } from './world';
export type { Drain } from './driver';
export { CALM, calmBut, type DiskShape, type NetworkShape, type TimerShape, type WorldShape } from './shape';
export { SimNode, type CrashKind, type Incarnation, type MakeHost, type NodeOptions, type NodePorts } from './sim-node';
export { SeedFailure } from './failure';
export { Draws, draw } from './draw';
export { SometimesRegistry } from './sometimes';
export type { Direction, Network } from './network';
export type { SimDisk } from './sim-disk';
export { SimFile } from './sim-file';
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

// What clients saw, and whether any legal system could have answered so. Nothing below knows Synod.
export { History, endOf, historyLines, type Operation, type Outcome, type Pending } from './checkers/history';
export { verdictLines, verdictOf, worstOf, type Anomaly, type Verdict } from './checkers/verdict';
export { checkLinearizable, type Model } from './checkers/linearizability';
export { checkRegisters, type RegisterInput, type RegisterOperation, type RegisterOutput } from './checkers/register';
export { checkWitnessOrder, type Atomic, type AtomicOperation, type Put, type Sight } from './checkers/witness-order';
export { asAtomic } from './checkers/single-key';
export { checkListAppend } from './checkers/list-append';
export type { ListOperation, ListStep } from './checkers/list-history';
export {
  checkBank,
  checkCounter,
  checkGrowingSet,
  type BankOperation,
  type CounterInput,
  type CounterOperation,
  type SetInput,
  type SetOperation,
} from './checkers/folds';
