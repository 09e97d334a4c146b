// The programs that tests run.
export { builtProgram, synod, whereInstalled, WORKSPACE } from './programs';
export { finished, type Finished, type RunOptions } from './finished';
export { LoggedProcess, type Start } from './logged-process';
export { descendantsOf, isAlive, msUntilGone, processesNaming, seen, type Seen } from './process-table';
// What they listen on.
export { freePortBase, freePorts, type PortsFrom } from './free-ports';
