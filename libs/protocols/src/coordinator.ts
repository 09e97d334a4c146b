import type { RemoteError } from './storage';
import type { ReadVersion, Timestamp, TxnAttempt, TxnHandle, TxnOutcome, Write } from './transaction';

/** What a transaction coordinator is asked over its stream. */
export type CoordinatorRequest =
  /** A read timestamp: reads at it see everything that was acknowledged before this request was sent. */
  | { readonly kind: 'begin' }
  /** Commits one attempt. A repeat, at any coordinator, returns the same outcome. */
  | {
      readonly kind: 'commit';
      readonly attempt: TxnAttempt;
      readonly reads: readonly ReadVersion[];
      readonly writes: readonly Write[];
    }
  /**
   * What became of a transaction whose answer was lost. If nothing is decided up to `attempt`, that is decided now, as aborted: the
   * answer is always final.
   */
  | { readonly kind: 'outcome'; readonly txn: TxnHandle; readonly attempt: number };

export type CoordinatorResponse =
  | { readonly kind: 'begun'; readonly readTs: Timestamp }
  /** `conflict`: aborted because of another transaction; run the whole function again as the next attempt. */
  | { readonly kind: 'outcome'; readonly outcome: TxnOutcome; readonly conflict: boolean; readonly reason: string }
  | { readonly kind: 'error'; readonly error: RemoteError };
