import { sameTxn, txnName, type TxnAttempt } from './words';

/**
 * Wait-die (Rosenkrantz, Stearns & Lewis, "System Level Concurrency Control for Distributed Database Systems", TODS 1978): of two
 * transactions in conflict the older waits for the younger, the younger dies. Waits then only ever point from old to young, so they
 * form no cycle: there is no deadlock to detect. A retry keeps its priority, so everyone becomes the oldest one day.
 */
export function waitOrDie(requester: TxnAttempt, holder: TxnAttempt): 'wait' | 'die' {
  // The same transaction, asked twice: the second waits for the answer of the first.
  if (sameTxn(requester.txn, holder.txn)) return 'wait';
  return isOlder(requester, holder) ? 'wait' : 'die';
}

/** Ties are broken by name, so that of any two exactly one is older. */
export function isOlder(a: TxnAttempt, b: TxnAttempt): boolean {
  if (a.priority !== b.priority) return a.priority < b.priority;
  return txnName(a.txn) < txnName(b.txn);
}
