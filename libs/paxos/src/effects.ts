import type { Ballot, Instance, ReplicaId } from './ballot';
import type { ChosenEntry, Envelope, Message, Value } from './messages';
import type { Configuration } from './configuration';
import type { RareState } from './rare-states';
import type { ReplicaRecord } from './records';

/** Everything that can happen to a replica. Time is `tick`, chance was injected as delays drawn by the host. */
export type Input =
  | { readonly kind: 'receive'; readonly from: ReplicaId; readonly message: Message }
  /** Propose a batch. `token` comes back in exactly one `settled` effect. */
  | { readonly kind: 'propose'; readonly token: number; readonly value: Value }
  /** Propose the next configuration. `token` comes back in exactly one `settled` effect. */
  | { readonly kind: 'change'; readonly token: number; readonly configuration: Configuration }
  /** A linearizable read wants to begin. `token` comes back in exactly one `settled` effect. */
  | { readonly kind: 'read'; readonly token: number }
  /** Hand leadership to another member, for which callers may have to wait. `token` comes back in exactly one `settled` effect. */
  | { readonly kind: 'transfer'; readonly token: number; readonly to: ReplicaId }
  /**
   * What the host's monotonic clock says, read after all inputs that follow have arrived: before the first input of a turn, while `Replica.mindsTime`
   * is true.
   */
  | { readonly kind: 'time'; readonly nowUs: number }
  /** The host's monotonic clock may have stood still while true time went on: what a leader was granted before may be over. */
  | { readonly kind: 'time-doubted' }
  /** The host's clock moved by one tick. Sent only while `Replica.restless` is true: idle groups cost nothing. */
  | { readonly kind: 'tick' }
  /** The host's failure detector no longer hears the leader, or the leader's node no longer lists this group's ballot. */
  | { readonly kind: 'leader-lost' }
  /** A peer's list of groups it leads names this one: it may be a leader not heard of yet, or one to be deposed. */
  | { readonly kind: 'led-by'; readonly ballot: Ballot; readonly chosenThrough: Instance }
  /**
   * The store holds the effects of every instance up to `flushedThrough` whatever happens now: the replica may forget them, and keeps
   * no more than a bounded tail for peers that lag.
   */
  | { readonly kind: 'truncate'; readonly flushedThrough: Instance }
  /**
   * The store now holds the state after instance `through`, as a peer had it, with `through` as its applied index. Sent in the same
   * turn: `chosen` goes on with the next instance, whose configuration is `configuration`, and `term` goes with the state. Ignored by a
   * replica that has delivered `through` already.
   */
  | {
      readonly kind: 'snapshot-installed';
      readonly through: Instance;
      readonly term: Ballot;
      readonly configuration: Configuration;
    };

/** A chosen entry as the host applies it. */
export interface Delivery extends ChosenEntry {
  /** What the state machine is to apply: nothing of a change, and nothing of a value whose proposer was deposed. */
  readonly commands: readonly Uint8Array[];
  /** Highest ballot that a value through this one names. Part of the state after it, like the applied index. */
  readonly term: Ballot;
}

/** How a proposal or a read ended. */
export type Settled =
  /** The proposal was chosen in `instance`, in this leadership; it is among `chosen` now or was before. */
  | { readonly token: number; readonly outcome: 'chosen'; readonly instance: Instance }
  /**
   * The read may be served once everything through `instance` is applied. If there is `leasedUntilUs`, it rests on a lease alone: the host reads its
   * monotonic clock again when it answers, and asks for the read anew if that time has come (invariant `lease-checked-at-the-answer`).
   */
  | {
      readonly token: number;
      readonly outcome: 'read-ready';
      readonly instance: Instance;
      readonly leasedUntilUs?: number;
    }
  /** Certainly had and will have no effect. */
  | { readonly token: number; readonly outcome: 'not-leader' | 'overloaded' }
  /** The change does not follow from the configuration of its instance, or would have kept everything waiting; it certainly has no effect. */
  | { readonly token: number; readonly outcome: 'conflict' }
  /** The member that was to lead has promised itself a higher ballot: this replica leads no more. */
  | { readonly token: number; readonly outcome: 'transferred' }
  /** Leadership stayed here in time, or went to somebody else. */
  | { readonly token: number; readonly outcome: 'not-transferred' }
  /** Was sent to acceptors before leadership was lost: may be chosen or not. Never for reads. */
  | { readonly token: number; readonly outcome: 'unknown' };

/**
 * What the host must do. It sends `sendNow` at once, and makes all of `persist` durable before it sends any of `send`; `send` of a
 * later step never overtakes `persist` of an earlier one. An envelope to the replica itself is delivered back to it the same way and is
 * never lost while the process lives: that is how its own vote counts only once it is on disk.
 */
export interface Effects {
  /** Claims nothing about this disk: accepts of a round that is itself already durable, probes, catch-up. */
  readonly sendNow: readonly Envelope[];
  readonly persist: readonly ReplicaRecord[];
  /** Promises, votes, a prepare for a new round, anything this node's own vote counts towards. */
  readonly send: readonly Envelope[];
  /**
   * Newly known chosen values, contiguous and in order: to be applied now. The records that hold them are on this disk already, so a
   * store that applies them never gets ahead of the log (invariant `applied-is-logged`), whichever reaches its disk first.
   */
  readonly chosen: readonly Delivery[];
  readonly settled: readonly Settled[];
  /**
   * Peers that have forgotten what this replica misses: the host fetches a snapshot from one of them, unless it is at it, and reports
   * `snapshot-installed`. Said again for as long as it is so.
   */
  readonly needsSnapshot: readonly ReplicaId[];
  /** Names of rare states that this step reached, for the simulation's coverage. */
  readonly reached: readonly RareState[];
}
