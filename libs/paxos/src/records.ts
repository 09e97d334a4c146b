import type { Ballot, Instance } from './ballot';
import type { Value } from './messages';

/** What a replica must find again after a restart. Replaying all of them in order rebuilds its state exactly. */
export type ReplicaRecord =
  /** No lower ballot will be promised or voted for. A proposer's own new round is such a record too. */
  | { readonly kind: 'promised'; readonly ballot: Ballot }
  /** A vote; implies the promise of its ballot. */
  | { readonly kind: 'voted'; readonly instance: Instance; readonly ballot: Ballot; readonly value: Value }
  /** A chosen value learned from a peer for which this replica holds no vote of the choosing ballot. */
  | { readonly kind: 'learned'; readonly instance: Instance; readonly value: Value };
