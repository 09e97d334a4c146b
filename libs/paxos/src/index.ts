// Words.
export { NO_BALLOT, compareBallots, formatBallot, type Ballot, type Instance, type ReplicaId } from './ballot';
export type { ChosenEntry, Envelope, Message, Released, Value, Vote } from './messages';
export { NO_OP } from './value';
export { stampOf } from './fence';
export { changeIn, foundingOf, mayFollow, voters, type Configuration, type ConfiguredMember } from './configuration';
export type { ReplicaRecord } from './records';
// The state machine.
export { Replica } from './replica';
export { survivingEntries, type SurvivingEntry } from './survivor';
export { DEFAULT_LIMITS, type LeaseTerms, type ReplicaLimits, type ReplicaOptions } from './options';
export { leaseTerms } from './leader-lease';
export type { Delivery, Effects, Input, Settled } from './effects';
export { RARE_STATES, type RareState } from './rare-states';
