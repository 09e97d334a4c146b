import type { AttemptId, WorkerId } from './ids';
import type { AttemptResult } from './task-table';

/** Everything that can happen to a job. Events of workers may come late, twice, or from a worker that was given up. */
export type SchedulerEvent =
  /** A worker has free slots. It joins the job with the first offer; what is not assigned stays with the caller. */
  | { readonly kind: 'offer'; readonly worker: WorkerId; readonly slots: number }
  /** The session ended: nothing of this worker can be reached any more, and its id is never used again. */
  | { readonly kind: 'worker-lost'; readonly worker: WorkerId }
  /** The attempt's output is complete and durable at its worker (map) or in the staging folder (reduce). */
  | {
      readonly kind: 'attempt-finished';
      readonly worker: WorkerId;
      readonly attempt: AttemptId;
      readonly result: AttemptResult;
    }
  | {
      readonly kind: 'attempt-failed';
      readonly worker: WorkerId;
      readonly attempt: AttemptId;
      readonly reason: string;
      /** Another try could not end better: a bundle without a map function, say. */
      readonly fatal: boolean;
    }
  /** A reduce attempt gave up because it could not fetch these map outputs. */
  | {
      readonly kind: 'fetch-failed';
      readonly worker: WorkerId;
      readonly attempt: AttemptId;
      readonly sources: readonly AttemptId[];
      readonly reason: string;
    }
  /** The committed parts have their final names; answers `commit-output`. */
  | { readonly kind: 'output-committed' }
  | { readonly kind: 'output-failed'; readonly reason: string }
  | { readonly kind: 'cancel'; readonly reason: string };

/** A committed map output that a reduce attempt must fetch its partition of. Empty ones are left out. */
export interface MapOutput {
  readonly attempt: AttemptId;
  readonly worker: WorkerId;
  /** Size of the wanted partition. */
  readonly bytes: number;
}

/** How a job ended. */
export type JobOutcome =
  | { readonly kind: 'succeeded' }
  | { readonly kind: 'failed'; readonly reason: string }
  | { readonly kind: 'cancelled'; readonly reason: string };

/** What the master must do. */
export type SchedulerEffect =
  | { readonly kind: 'assign-map'; readonly worker: WorkerId; readonly attempt: AttemptId; readonly split: number }
  | {
      readonly kind: 'assign-reduce';
      readonly worker: WorkerId;
      readonly attempt: AttemptId;
      readonly partition: number;
      readonly sources: readonly MapOutput[];
    }
  /** Stop the attempt; its slot is free once the worker says so. */
  | { readonly kind: 'stop'; readonly worker: WorkerId; readonly attempt: AttemptId }
  /** The attempt ended well but was superseded: the worker drops its output. */
  | { readonly kind: 'discard'; readonly worker: WorkerId; readonly attempt: AttemptId }
  /** Every reduce is done: give these parts, in partition order, their final names, all or none. */
  | { readonly kind: 'commit-output'; readonly parts: readonly AttemptId[] }
  /** The last effect of a job. Workers may drop all they hold for it. */
  | { readonly kind: 'finished'; readonly outcome: JobOutcome };
