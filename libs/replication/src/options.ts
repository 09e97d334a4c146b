import {
  DEFAULT_LIMITS,
  type Ballot,
  type Delivery,
  type Envelope,
  type Instance,
  type ReplicaRecord,
} from '@synod/paxos';
import type { Clock, Disk, Log, Probes, Random, Store, Timers, Transport } from '@synod/runtime';
import type { GroupId, Member } from './api';
import type { Identity, PeerProtocol } from './peer-link';

export interface ReplicaHostPorts {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly disk: Disk;
  readonly transport: Transport;
  /** For snapshots, so that bulk never delays a heartbeat: with connections of its own. `transport` if absent. */
  readonly bulkTransport?: Transport;
  readonly log: Log;
  readonly probes: Probes;
}

/** Bounds and periods, each with its unit. */
export interface ReplicationTimes {
  /** Between heartbeats to each peer. */
  readonly heartbeatUs: number;
  /** A replica's time step while it waits for something. */
  readonly tickUs: number;
  /** Silence of the leader's node before a campaign; each wait is drawn from one to two times this. */
  readonly electionTimeoutUs: number;
  /** Between flushes of the store; what is lost with it is in the log. */
  readonly flushUs: number;
}

export const DEFAULT_TIMES: ReplicationTimes = {
  heartbeatUs: 100_000,
  tickUs: 50_000,
  electionTimeoutUs: 1_000_000,
  flushUs: 1_000_000,
};

/** How much of the log is kept, on disk for all groups together and in memory for each. */
export interface LogLimits {
  /** Of one file of the log. A few of them are kept, which bounds what a start has to read; each costs two syncs more. */
  readonly segmentBytes: number;
  /** Applied instances kept in memory for members that lag, at most; one that is further behind is sent a snapshot. */
  readonly tailInstances: number;
  /** Their bytes, at most. */
  readonly tailBytes: number;
}

export const DEFAULT_LOG_LIMITS: LogLimits = {
  segmentBytes: 16 << 20,
  tailInstances: DEFAULT_LIMITS.tailInstances,
  tailBytes: DEFAULT_LIMITS.tailBytes,
};

export interface LeaseOptions {
  /** How much faster or slower than true time the monotonic clock of any member may run, in parts per million. */
  readonly maxClockDriftPpm: number;
}

/** What a replica was made of at a start. */
export interface Rebuilt {
  /** From the log. */
  readonly promised: Ballot;
  /** Where the log begins. */
  readonly truncatedThrough: Instance;
  /** From the store. */
  readonly appliedThrough: Instance;
  readonly snapshotThrough: Instance;
}

/** Sees what a checker needs: every vote or promise that leaves, every value applied. Used by the simulation alone. */
export interface ReplicationObserver {
  /** Called when an envelope leaves that vouches for this node's disk. */
  vouched(group: GroupId, from: Member, envelope: Envelope): void;
  applied(group: GroupId, by: Member, delivery: Delivery): void;
  /** At a start: the records that the log held, and what is rebuilt from them. Called before the replica is believed. */
  recovered(group: GroupId, by: Member, records: readonly ReplicaRecord[], rebuilt: Rebuilt): void;
  /** A snapshot took the place of the state. */
  installed(group: GroupId, by: Member, appliedThrough: Instance): void;
}

export interface ReplicaHostOptions {
  readonly identity: Identity;
  readonly ports: ReplicaHostPorts;
  readonly store: Store;
  readonly peerProtocol: PeerProtocol;
  readonly walFolder: string;
  readonly times?: ReplicationTimes;
  readonly logLimits?: LogLimits;
  /** Leaders answer reads by leases as long as an election time-out, less what clocks may be wrong; every read asks a majority if absent. */
  readonly leases?: LeaseOptions;
  readonly observer?: ReplicationObserver;
  /** Called once if the log or the store fails: the process must end, since what it promised may be gone. */
  readonly failed: (error: unknown) => void;
}
