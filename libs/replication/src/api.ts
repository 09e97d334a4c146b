import type { Ballot, Instance, ReplicaId } from '@synod/paxos';
import type { StoreReader, StoreTransaction } from '@synod/runtime';

/** A process of a service, by the name it was given at its first start. */
export type NodeId = string;

/** One Paxos group: `consensus`, or `shard-17`. */
export type GroupId = string;

/** A member of a group: which replica, on which node, on which disk. */
export interface Member {
  readonly replicaId: ReplicaId;
  readonly nodeId: NodeId;
  /** The random name that the node's data folder drew when it was empty. Another incarnation is another acceptor. */
  readonly incarnation: string;
}

/** The founding configuration of a group: its instance 0. */
export interface Founding {
  readonly group: GroupId;
  readonly members: readonly Member[];
}

/** Where a command stands in its group's log: the same on every replica. */
export interface Position {
  readonly instance: Instance;
  /** Within the instance's batch, from 0. */
  readonly index: number;
}

/**
 * The replicated part of a service. `apply` must be a function of the state below `transaction` and of its arguments alone, errors
 * included, so that all replicas stay equal: no clock, no chance, no state outside the store (a cache derived from it is welcome).
 */
export interface StateMachine<R> {
  /**
   * Applies one chosen command. Runs inside the store transaction that also advances the group's applied index. Keys it touches
   * must start with the prefix that `load` was called with last.
   */
  apply(transaction: StoreTransaction, command: Uint8Array, position: Position): R;
  /** Called after the transaction that held one or more `apply` calls has committed, before any proposer hears of its result. */
  committed?(store: StoreReader): void;
  /**
   * The state is what lies below `prefix` from now on: called when the group is added, before anything else, and when a snapshot took
   * the place of the state. Whatever was derived from the state before is void.
   */
  load(prefix: Buffer, store: StoreReader): void;
}

/** What became of a proposal. */
export type ProposeResult<R> =
  /** Chosen and applied; `result` is what `apply` returned here. */
  | { readonly kind: 'applied'; readonly instance: Instance; readonly result: R }
  /** Certainly not proposed. `leader` is the node to try, if known. */
  | { readonly kind: 'not-leader'; readonly leader: NodeId | undefined }
  /** Certainly not proposed: the bounded queue is full. */
  | { readonly kind: 'overloaded' }
  /** Leadership was lost after proposing: it may or may not be chosen. */
  | { readonly kind: 'unknown' };

/** The outcome of a read barrier (read-index). */
export type BarrierResult =
  /**
   * Leadership was confirmed by a majority in a round sent after this barrier began, and everything chosen before is applied:
   * a read of the store in this same event-loop turn is linearizable.
   */
  | { readonly kind: 'ready'; readonly applied: Instance }
  | { readonly kind: 'not-leader'; readonly leader: NodeId | undefined }
  | { readonly kind: 'overloaded' };

/** A group as its node sees it; for status pages, metrics and invariants. */
export interface GroupStatus {
  readonly group: GroupId;
  readonly replicaId: ReplicaId;
  readonly role: 'follower' | 'candidate' | 'leader';
  /** The highest ballot promised here. */
  readonly promised: Ballot;
  /** The node believed to lead, if any. */
  readonly leader: NodeId | undefined;
  readonly chosenThrough: Instance;
  readonly appliedThrough: Instance;
  /** Forgotten in memory, but for its effects; a member that lags behind this needs a snapshot. */
  readonly truncatedThrough: Instance;
  readonly members: readonly Member[];
}

/** A group's replica on this node. */
export interface Group<R> {
  readonly founding: Founding;
  status(): GroupStatus;
  /** Proposes a command; those of one event-loop turn share an instance. Never rejects. */
  propose(command: Uint8Array): Promise<ProposeResult<R>>;
  /** Never rejects. */
  readBarrier(): Promise<BarrierResult>;
}

/** How a group is added to its node's `ReplicaHost`. */
export interface GroupOptions<R> {
  readonly founding: Founding;
  readonly stateMachine: StateMachine<R>;
  /** Of the group's keys in the store, above 0x00 and below 0xfe, the same at every start. `StateMachine.load` says where they lie now. */
  readonly prefix: Buffer;
  /** Ask for leadership at once when the group has no leader: set on the member that placement prefers. */
  readonly preferred: boolean;
  /**
   * Called when this replica starts to lead (`true`: everything from before is applied and it may serve) or stops (`false`).
   * Never called inside `propose` or `readBarrier`.
   */
  readonly leadershipChanged?: (leads: boolean) => void;
}
