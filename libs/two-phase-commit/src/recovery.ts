import { fateOf, type Decision, type DecisionRecord } from './decision';
import type { TxnAttempt } from './words';

/** What somebody who meets another transaction's intent does next. */
export type RecoveryStep =
  /** The record has decided: finish the work here. Always with the record itself, never with what the finder makes of it. */
  | { readonly kind: 'resolve'; readonly outcome: Decision }
  /** Its coordinator is presumed to live: wait, and ask again. */
  | { readonly kind: 'wait' }
  /** Presumed dead: propose this at the anchor, then resolve with whatever the record says afterwards. */
  | { readonly kind: 'decide'; readonly proposal: Decision };

/**
 * The recovery rule, the same for readers, writers, sweepers and other coordinators, any number of them at once. Expiry, by
 * anyone's clock, only permits the proposal to abort; the compare-and-set of the record decides (`admit`). A decision to commit
 * that got there first stands, and a coordinator that comes back later loses it.
 */
export function recover(found: TxnAttempt, record: DecisionRecord, expired: boolean): RecoveryStep {
  if (record.state !== 'none' && fateOf(found.attempt, record) !== 'undecided')
    return { kind: 'resolve', outcome: record };
  if (!expired) return { kind: 'wait' };
  return { kind: 'decide', proposal: { state: 'aborted', attempt: found.attempt } };
}
