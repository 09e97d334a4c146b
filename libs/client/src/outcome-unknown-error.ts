import type { TxnHandle } from '@synod/protocols';
import { SynodError } from '@synod/runtime';

/**
 * A commit was sent, and nobody could say in time what became of it. It may have happened: asking again, with `outcome` of the client
 * and what this error carries, gives a final answer as soon as the transaction's anchor shard can be reached.
 */
export class OutcomeUnknownError extends SynodError {
  constructor(
    readonly txn: TxnHandle,
    readonly attempt: number,
    cause: unknown,
  ) {
    const why = cause instanceof Error ? cause.message : String(cause);
    super(
      'outcome-unknown',
      `transaction ${formatHandle(txn)}, attempt ${attempt}, may or may not have committed: ${why}`,
      {
        cause,
      },
    );
    this.name = 'OutcomeUnknownError';
  }
}

/** As people and thin clients write it: `txn_id@anchor`. */
export function formatHandle(txn: TxnHandle): string {
  return `${txn.id}@${txn.anchor}`;
}

/** @throws {SynodError} `invalid-argument` */
export function parseHandle(text: string): TxnHandle {
  const match = /^([0-9a-f]{32})@(\d{1,5})$/.exec(text);
  if (match === null) {
    throw new SynodError(
      'invalid-argument',
      `${JSON.stringify(text)} is not a transaction handle: <32 hex digits>@<shard>`,
    );
  }
  return { id: match[1] as string, anchor: Number(match[2]) };
}
