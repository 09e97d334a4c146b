// Words.
export { NO_BALLOT, compareBallots, formatBallot, type Ballot, type Instance, type ReplicaId } from './ballot';
export type { ChosenEntry, Envelope, Message, Value, Vote } from './messages';
export type { ReplicaRecord } from './records';
// The state machine.
export type { Effects, Input, Settled } from './effects';
