import type { Ballot, Instance, ReplicaId } from './ballot';

/** What one instance decides: a batch of commands, in order. Empty is the no-op that fills a hole. */
export type Value = readonly Uint8Array[];

/** An acceptor's latest vote in one instance. */
export interface Vote {
  readonly instance: Instance;
  readonly ballot: Ballot;
  readonly value: Value;
}

/** A value known to be chosen. */
export interface ChosenEntry {
  readonly instance: Instance;
  readonly value: Value;
}

/** The leader of `ballot` has handed over, and given up every lease that it was granted in its rounds through `round`. */
export interface Released {
  readonly ballot: Ballot;
  readonly round: number;
}

/** What two replicas of a group say to each other. Every message is idempotent: it may be lost, repeated or reordered. */
export type Message =
  /** Phase 0, before a campaign: would you support `ballot`? Changes nothing, so a cut-off replica cannot disturb by asking. */
  | { readonly kind: 'probe'; readonly ballot: Ballot }
  /** `chosenThrough` helps a replica that is so far behind that it asks the wrong members. */
  | {
      readonly kind: 'probe-reply';
      readonly ballot: Ballot;
      readonly granted: boolean;
      readonly promised: Ballot;
      readonly chosenThrough: Instance;
    }
  /** Phase 1a, once per leadership for the whole open log: every instance from `firstInstance` on. */
  | {
      readonly kind: 'prepare';
      readonly ballot: Ballot;
      readonly firstInstance: Instance;
      /** Which grants need not keep the receiver from promising. */
      readonly released?: Released;
    }
  /**
   * Phase 1b. All votes from `firstInstance` on, in pages: `page` counts from 0, `last` marks the final one. `chosenThrough` is the
   * sender's own watermark: what lies at or below it the proposer fetches by catch-up instead of proposing it again.
   */
  | {
      readonly kind: 'promise';
      readonly ballot: Ballot;
      readonly firstInstance: Instance;
      readonly page: number;
      readonly last: boolean;
      readonly votes: readonly Vote[];
      readonly chosenThrough: Instance;
    }
  /** How ballots lose: the receiver promised `promised`, which is above `ballot`. */
  | { readonly kind: 'nack'; readonly ballot: Ballot; readonly promised: Ballot }
  /** Phase 2a for one instance, with the leader's chosen watermark piggybacked. */
  | {
      readonly kind: 'accept';
      readonly ballot: Ballot;
      readonly instance: Instance;
      readonly value: Value;
      readonly chosenThrough: Instance;
    }
  /** Phase 2b: the sender's vote is on its disk. */
  | {
      readonly kind: 'accepted';
      readonly ballot: Ballot;
      readonly instance: Instance;
      readonly chosenThrough: Instance;
    }
  /** The leader of `ballot` knows every instance up to `chosenThrough` to be chosen. */
  | { readonly kind: 'chosen'; readonly ballot: Ballot; readonly chosenThrough: Instance }
  /** The sender knows every instance up to `chosenThrough`; the leader stops telling it. */
  | { readonly kind: 'chosen-reply'; readonly ballot: Ballot; readonly chosenThrough: Instance }
  /** Read-index round: do you still follow `ballot`? And will you promise nothing to others for the next `holdUs` of your clock? */
  | { readonly kind: 'confirm'; readonly ballot: Ballot; readonly round: number; readonly holdUs?: number }
  /** The sender has promised nothing above `ballot`, and if it is `held` will not, since when it heard, for as long as it was asked to. */
  | { readonly kind: 'confirmed'; readonly ballot: Ballot; readonly round: number; readonly held?: true }
  /**
   * The leader of `ballot` wants the receiver to lead in its place: campaign at once, without asking whether others support it. It has given up the
   * leases of its rounds through `round`, if it uses leases.
   */
  | { readonly kind: 'take-over'; readonly ballot: Ballot; readonly round?: number }
  /** Asks for chosen values from `firstInstance` on. */
  | { readonly kind: 'catch-up'; readonly firstInstance: Instance }
  /** A page of chosen values, contiguous from the asked instance; `chosenThrough` tells how far the sender could go on. */
  | { readonly kind: 'catch-up-reply'; readonly entries: readonly ChosenEntry[]; readonly chosenThrough: Instance }
  /** The sender was asked for instances that it has forgotten, through `truncatedThrough`: only a snapshot of its state helps. */
  | { readonly kind: 'needs-snapshot'; readonly truncatedThrough: Instance };

export interface Envelope {
  readonly to: ReplicaId;
  readonly message: Message;
}
