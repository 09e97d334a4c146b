import type { Ballot, Configuration, ConfiguredMember, Instance, ReplicaId } from '@synod/paxos';
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

/** A member as the log of its group names it. */
export interface GroupMember extends ConfiguredMember {
  /** Absent until a node took the place. From then on the replica is that node, on that disk. */
  readonly nodeId?: NodeId;
  readonly incarnation?: string;
  /** Where its node serves peers. Absent if the group does not keep addresses, or has not changed since its founding. */
  readonly address?: string;
  /** A voter whose disk was lost, back as a learner: it is to vote again once it has caught up. */
  readonly returns?: true;
}

/** Who the members of a group are. The log of the group is the authority on it: it changes by `Group.change` alone. */
export type GroupConfiguration = Configuration<GroupMember>;

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
  /** Called behind the last `apply` of a transaction, inside it: for what need not be written anew by each command. */
  finish?(transaction: StoreTransaction): void;
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

/** What became of a leadership transfer. */
export type TransferResult =
  /** The other member has taken over with a higher ballot; it serves once it has finished its phase 1. */
  | { readonly kind: 'transferred' }
  | { readonly kind: 'not-leader'; readonly leader: NodeId | undefined }
  /** No voting member of the group runs on that node. */
  | { readonly kind: 'no-such-voter' }
  /** It did not take over in time, and this replica leads on; or yet another one took over. */
  | { readonly kind: 'not-transferred' };

/** What became of a change of the configuration. */
export type ChangeResult =
  /** Chosen and applied here. */
  | { readonly kind: 'changed' }
  /** Certainly not chosen: the configuration is not the one that the change was made for, or they are too far apart. */
  | { readonly kind: 'conflict' }
  | { readonly kind: 'not-leader'; readonly leader: NodeId | undefined }
  | { readonly kind: 'overloaded' }
  | { readonly kind: 'unknown' };

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
  /** Members whose place is taken by a node. */
  readonly members: readonly Member[];
}

/**
 * Bytes of the commands in one instance, unless a single command is larger. Heartbeats wait behind the message that carries it, and a message has a bound
 * far above this.
 */
export const VALUE_BYTES_MAX = 1 << 20;

/** A group's replica on this node. */
export interface Group<R> {
  readonly founding: Founding;
  status(): GroupStatus;
  /** Proposes a command; those of one event-loop turn share an instance, as far as they fit. Never rejects. */
  propose(command: Uint8Array): Promise<ProposeResult<R>>;
  /**
   * Proposes several commands, which come to lie in one instance, in order; all of them are proposed, or none is. Never rejects.
   * @param commands together at most VALUE_BYTES_MAX
   */
  proposeAll(commands: readonly Uint8Array[]): Promise<ProposeResult<readonly R[]>>;
  /** Never rejects. */
  readBarrier(): Promise<BarrierResult>;
  /** Hands leadership to the replica on another node, within a bound of ticks. Proposals wait meanwhile. Never rejects. */
  transferLeadership(to: NodeId): Promise<TransferResult>;
}

/** A group whose members can be changed through its log. */
export interface ReconfigurableGroup<R> extends Group<R> {
  /** As far as this replica has applied the log. */
  readonly configuration: GroupConfiguration;
  /** Proposes the configuration after the present one. One voter may come or go at a time (decision 0010). Never rejects. */
  change(next: GroupConfiguration): Promise<ChangeResult>;
  /** How far a member is known to be, if this replica leads. */
  progressOf(replicaId: ReplicaId): Instance | undefined;
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
  /** What this node was told of the group when it took its place; absent on founders. Kept by the caller across restarts. */
  readonly joined?: GroupConfiguration;
  /** Called when a change is applied. */
  readonly configurationChanged?: (configuration: GroupConfiguration) => void;
  /** Called once if this replica was removed: it is destroyed, for good. */
  readonly removed?: () => void;
}
