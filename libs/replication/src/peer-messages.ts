import type { Ballot, Instance, Message, ReplicaId } from '@synod/paxos';
import type { GroupId, NodeId } from './api';

/** A group that the sender leads, as announced to its peers. */
export interface LedGroup {
  readonly group: GroupId;
  readonly ballot: Ballot;
  readonly chosenThrough: Instance;
}

/** Which versions of the conversation between nodes a release takes part in. */
export interface PeerRelease {
  /** The one it speaks; 0 of a build before versions were said. */
  readonly speaks: number;
  /** The least one that it understands. */
  readonly understands: number;
}

/** What two nodes that share groups say to each other; see protos/synod/peer/v1/peer.proto. */
export type PeerMessage =
  /** First in each direction. */
  | ({
      readonly kind: 'hello';
      readonly clusterId: string;
      readonly nodeId: NodeId;
      readonly incarnation: string;
      /** Where the sender serves its peers, if it says so. */
      readonly address?: string;
    } & PeerRelease)
  /** The sender lives, and its set of led groups has this version. Proves no leadership. */
  | { readonly kind: 'heartbeat'; readonly ledVersion: number }
  | { readonly kind: 'led-groups'; readonly version: number; readonly groups: readonly LedGroup[] }
  /** The receiver of a heartbeat does not hold that version of the set. */
  | { readonly kind: 'led-groups-request' }
  /** The group has removed that replica of the receiver: it shall rest. */
  | { readonly kind: 'removed'; readonly group: GroupId; readonly replicaId: ReplicaId }
  /** One protocol message between two replicas of a group. */
  | {
      readonly kind: 'group';
      readonly group: GroupId;
      readonly from: ReplicaId;
      readonly to: ReplicaId;
      readonly message: Message;
    };
