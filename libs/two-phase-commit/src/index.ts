// Words.
export {
  sameTxn,
  txnName,
  type Key,
  type ShardId,
  type Timestamp,
  type TxnAttempt,
  type TxnHandle,
  type TxnId,
} from './words';
// The decision record, at the anchor shard.
export { UNDECIDED, admit, fateOf, sameDecision, type Decision, type DecisionRecord, type Fate } from './decision';
// One participant: what it holds, and the rules that change it.
export { WORKING, type Change, type Lock, type ParticipantState, type ShardView } from './shard-view';
export {
  commitOnePhase,
  decide,
  obstacle,
  prepare,
  resolve,
  type PrepareOutcome,
  type Refusal,
  type Verdict,
  type Work,
} from './participant';
export { isOlder, waitOrDie } from './wait-die';
export { recover, type RecoveryStep } from './recovery';
// The coordinator of one commit attempt.
export {
  Coordinator,
  type CommitAttempt,
  type CoordinatorEffect,
  type CoordinatorInput,
  type Reply,
  type Vote,
} from './coordinator';
