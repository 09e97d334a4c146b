import { formatHandle } from '@synod/client';
import type { storageV1 } from '@synod/contracts';
import type { TxnOutcome } from '@synod/protocols';
import type { ServiceHandlers } from '@synod/rpc';
import type { ThinTransactions } from './thin-transactions';

/** The unary calls for thin clients: decode, ask, encode. The stream for everybody else is served through the transport. */
export function coordinatorService(thin: ThinTransactions): ServiceHandlers<'synod.txn.v1.TransactionCoordinator'> {
  return {
    Begin: async () => {
      const { name, readTs } = await thin.begin();
      return { transaction: name, readTs: readTs.toString() };
    },
    Get: async ({ transaction, key }) => {
      const value = await thin.get(transaction, key);
      return value === undefined ? {} : { value };
    },
    Put: ({ transaction, key, value }) => {
      thin.put(transaction, key, value);
      return {};
    },
    Delete: ({ transaction, key }) => {
      thin.delete(transaction, key);
      return {};
    },
    Commit: async ({ transaction }) => {
      const { commitTs, txn } = await thin.commit(transaction);
      return { commitTs: commitTs.toString(), handle: txn === undefined ? '' : formatHandle(txn) };
    },
    Rollback: ({ transaction }) => {
      thin.rollback(transaction);
      return {};
    },
    Outcome: async ({ handle, attempt }) => {
      const { outcome } = await thin.outcome(handle, attempt === 0 ? 1 : attempt);
      return { record: recordToWire(outcome) };
    },
  };
}

function recordToWire(outcome: TxnOutcome): storageV1.TxnRecord {
  const { attempt } = outcome;
  if (outcome.state === 'aborted') return { state: 'STATE_ABORTED', attempt };
  return { state: 'STATE_COMMITTED', attempt, commitTs: outcome.commitTs.toString() };
}
