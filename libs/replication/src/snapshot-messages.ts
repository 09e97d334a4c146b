import type { Ballot, Instance, ReplicaId } from '@synod/paxos';
import type { Entry } from '@synod/runtime';
import type { GroupConfiguration, GroupId } from './api';

/** Asks for the next chunk of a snapshot, or for a new one; see protos/synod/peer/v1/peer.proto. */
export interface SnapshotRequest {
  readonly clusterId: string;
  readonly group: GroupId;
  /** Who asks. */
  readonly replicaId: ReplicaId;
  /** Empty for a new snapshot. */
  readonly snapshotId: string;
  /** The last key that arrived, without its prefix; empty for the first chunk. */
  readonly after: Buffer;
}

export interface SnapshotDescriptor {
  readonly snapshotId: string;
  /** The state is that after this instance. */
  readonly appliedThrough: Instance;
  /** Highest ballot that a value of the log through that instance names. */
  readonly term: Ballot;
  /** The configuration of the group after that instance, from the same view. */
  readonly configuration: GroupConfiguration;
}

/** Everything between two keys. */
export interface SnapshotChunk {
  readonly kind: 'chunk';
  readonly snapshot: SnapshotDescriptor;
  /** As asked. */
  readonly after: Buffer;
  /** In the order of keys, which are without their prefix. */
  readonly entries: readonly Entry[];
  readonly checksum: number;
  /** Nothing follows. */
  readonly last: boolean;
}

export type SnapshotResponse =
  | SnapshotChunk
  /** Not this one, or not now: begin with a new one, later or elsewhere. */
  | { readonly kind: 'refused'; readonly reason: string };
