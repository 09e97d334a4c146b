import type { Ballot, Instance } from './ballot';
import type { Value } from './messages';

/**
 * What a replica must find again after a restart. Replaying all of them in order rebuilds its state. The host may cut the old end of
 * the log: what is cut off must be at or below the store's flushed applied index, or said again behind the cut (`Replica.hardState`,
 * `Replica.recordsAbove`).
 */
export type ReplicaRecord =
  /** No lower ballot will be promised or voted for. A proposer's own new round is such a record too. */
  | { readonly kind: 'promised'; readonly ballot: Ballot }
  /** A vote; implies the promise of its ballot. */
  | { readonly kind: 'voted'; readonly instance: Instance; readonly ballot: Ballot; readonly value: Value }
  /** A chosen value learned from a peer for which this replica holds no vote of the choosing ballot. */
  | { readonly kind: 'learned'; readonly instance: Instance; readonly value: Value }
  /**
   * Leases may have been granted, none for longer than `holdUs`: for so long a restart promises nothing to anybody. 0: what was granted before is over.
   */
  | { readonly kind: 'granted'; readonly holdUs: number }
  /** The old end of the log may be gone up to here: the store holds these instances for good. */
  | { readonly kind: 'truncated'; readonly through: Instance }
  /** A vote said again before the part of the log with its `voted` is cut off. Unlike that it promises nothing anew. */
  | { readonly kind: 'kept'; readonly instance: Instance; readonly ballot: Ballot; readonly value: Value };
