import { NodeDirectory, Registration, TimestampOracle, type Coordination } from '@synod/coordination';
import {
  oracleProtocol,
  RequestStream,
  serveRequests,
  type TimestampRequest,
  type TimestampResponse,
} from '@synod/protocols';
import {
  lostLog,
  peerProtocol,
  ReplicaHost,
  type GroupConfiguration,
  type GroupMember,
  type LeaseOptions,
  type LogLimits,
  type NodeId,
  type ReconfigurableGroup,
  type ReplicationObserver,
  type ReplicationTimes,
} from '@synod/replication';
import {
  SynodError,
  type Clock,
  type Disk,
  type Log,
  type Probes,
  type Random,
  type Store,
  type Timers,
  type Transport,
} from '@synod/runtime';
import type { TokenProvider } from './auth/token-provider';
import { CoordinationHost, type MaintenanceOptions } from './coordination-host';
import { STORE_PREFIX, WAL_FOLDER } from './data-format';
import { FoundingRound, type Founder } from './founding';
import { CONSENSUS_GROUP, type FounderReport } from './founding-protocol';
import { FoundingStore, type ClusterFounding } from './founding-store';
import { LeaderLinks } from './leader-link';
import { failure } from './leader-desk';
import { LocalCoordination } from './local-coordination';
import { nextConfiguration, type MemberOperation } from './member-changes';
import { EtcdError } from './state/errors';
import { memberNumber } from './member-ids';
import { ReturnToVote } from './return-to-vote';
import type { RequestLimits } from './state/request-check';
import type { ApplyResult } from './state/results';

/** Batches of timestamp requests being answered at once. */
const TIMESTAMPS_INFLIGHT_MAX = 16_384;
/** How long a stopping node tries to take itself off the list of nodes; its lease does it otherwise. */
const FAREWELL_US = 1_000_000;
const FORWARDED_TIMESTAMP_US = 5_000_000;
/** Between being removed and ending: whoever asked this member for it still gets the answer. */
const LAST_WORDS_US = 500_000;
/** How often a change is made anew because another one came in between. */
const CONFLICTS_MAX = 5;

export interface ConsensusNodeOptions {
  readonly nodeId: NodeId;
  /** The random name that this data folder drew when it was empty. */
  readonly incarnation: string;
  /** Whether this data folder has taken part before: then its log must hold the group. */
  readonly joined: boolean;
  /** All members with their peer addresses, this node among them; the same on every member. */
  readonly founders: readonly Founder[];
  /** This node takes the place that was added for it in a running cluster, unless its data folder shows that it has one. */
  readonly joins?: boolean;
  /** This data folder is the new one of a node that the cluster of that id knows with a harmed one: it asks to be taken back there. */
  readonly returnsTo?: string;
  /** What all founders of this cluster have in common, and no other. */
  readonly token?: string;
  /** Whether members speak TLS with each other; what `peerTransport` does is what counts, this is what is told of it. */
  readonly peerScheme?: 'http' | 'https';
  /** What clients are told of this node. */
  readonly advertised: {
    readonly address: string;
    readonly clientUrls?: readonly string[];
    readonly httpAddress?: string;
  };
  readonly ports: {
    readonly clock: Clock;
    readonly timers: Timers;
    readonly random: Random;
    readonly disk: Disk;
    readonly log: Log;
    readonly probes: Probes;
  };
  readonly store: Store;
  /** How clients prove who they are once users are checked; by tokens in the log if absent. */
  readonly tokens?: TokenProvider;
  /** Whether a client without a token is the user whom its certificate names; not by default. */
  readonly certificatesName?: boolean;
  /** Between the members. */
  readonly peerTransport: Transport;
  /** Between the members too, for snapshots: with connections of its own. `peerTransport` if absent. */
  readonly bulkTransport?: Transport;
  /** Where clients come in; in simulation the same as `peerTransport`. */
  readonly clientTransport: Transport;
  /** Called once if the log or the store fails: the process must end. */
  readonly failed: (error: unknown) => void;
  /** Called when this member starts to lead or stops: what the leader hosts for the cluster goes by it. */
  readonly onLeadership?: (leads: boolean, coordination: Coordination, founding: ClusterFounding) => void;
  /** Called once if a majority found this member's state to be another one than theirs. */
  readonly stateDiffers?: () => void;
  readonly maintenance?: MaintenanceOptions;
  readonly times?: ReplicationTimes;
  readonly logLimits?: LogLimits;
  /** Linearizable reads rest on the leader's lease while it holds; on a round to a majority each if absent. */
  readonly leases?: LeaseOptions;
  readonly limits?: RequestLimits;
  /** Whether changes of members are refused that would leave too few started or connected, while this member leads; so by default. */
  readonly strictReconfigCheck?: boolean;
  readonly observer?: ReplicationObserver;
}

/**
 * A member of the coordination service: one Paxos group whose state is etcd's data model, its watches and leases, and, while it
 * leads, the timestamp oracle. Written against ports alone, so that the simulation runs it unchanged.
 */
export class ConsensusNode {
  private readonly registration: Registration;
  private readonly directory: NodeDirectory;
  private readonly returnToVote: ReturnToVote;
  private readonly oracleProtocol = oracleProtocol();
  /** To the member that held the oracle last, for requests that arrive here. */
  private oracleStream: RequestStream<TimestampRequest, TimestampResponse> | undefined;

  private constructor(
    private readonly options: ConsensusNodeOptions,
    readonly founding: ClusterFounding,
    private readonly foundingRound: FoundingRound,
    private readonly replicas: ReplicaHost,
    private readonly group: ReconfigurableGroup<ApplyResult>,
    /** Where each member serves its peers. */
    private readonly addresses: Map<NodeId, string>,
    private readonly links: LeaderLinks,
    readonly host: CoordinationHost,
    /** The store for what runs in this process, with the rights of a service. */
    readonly coordination: Coordination,
    readonly oracle: TimestampOracle,
  ) {
    const { nodeId, incarnation, advertised, ports } = options;
    const peerAddress = ownPeerAddress(options);
    const self = { service: 'consensus', nodeId, incarnation, peerAddress, ...advertised } as const;
    this.registration = new Registration({ ...ports, coordination }, self);
    this.directory = new NodeDirectory({ ...ports, coordination }, 'consensus');
    this.returnToVote = new ReturnToVote(
      ports,
      () => this.members.find((member) => member.incarnation === incarnation),
      ({ replicaId }) => this.host.changeMembers({ kind: 'promote', replicaId }),
    );
  }

  /**
   * Founds the cluster with the other founders, or resumes, and takes part from then on. Waits as long as founders are missing.
   * @throws {SynodError} `failed-precondition` if this data folder must not take part; `corrupt`
   */
  static async start(options: ConsensusNodeOptions): Promise<ConsensusNode> {
    const { nodeId, incarnation, founders, ports, store, peerTransport, failed } = options;
    const foundingRound = new FoundingRound({
      nodeId,
      incarnation,
      founders,
      joins: options.joins ?? false,
      ...(options.returnsTo === undefined ? {} : { returnsTo: options.returnsTo }),
      ...(options.token === undefined ? {} : { token: options.token }),
      store: new FoundingStore(ports.disk),
      ports: { ...ports, transport: peerTransport },
    });
    const founding = await foundingRound.establish();
    const address = ownPeerAddress(options);
    const replicas = await ReplicaHost.open({
      identity: {
        clusterId: founding.clusterId,
        nodeId,
        incarnation,
        ...(address === undefined ? {} : { address }),
      },
      ports: { ...ports, transport: peerTransport, bulkTransport: options.bulkTransport ?? peerTransport },
      store,
      peerProtocol: peerProtocol(),
      walFolder: WAL_FOLDER,
      failed,
      ...(options.times === undefined ? {} : { times: options.times }),
      ...(options.logLimits === undefined ? {} : { logLimits: options.logLimits }),
      ...(options.leases === undefined ? {} : { leases: options.leases }),
      ...(options.observer === undefined ? {} : { observer: options.observer }),
    });
    if (options.joined && replicas.heldGroups().length === 0) throw lostLog(`${nodeId} has been a member of consensus`);
    const addresses = new Map(founders.map((founder) => [founder.nodeId, founder.address]));
    const links = new LeaderLinks({ ...ports, transport: peerTransport }, addresses);
    let group!: ReconfigurableGroup<ApplyResult>;
    const host: CoordinationHost = new CoordinationHost({
      nodeId,
      prefix: STORE_PREFIX,
      store,
      ports,
      link: links,
      memberNumber: (member) => {
        const found = group.configuration.members.find((each) => each.nodeId === member);
        return found === undefined ? 0n : memberNumber(founding.clusterId, found.replicaId);
      },
      isMember: (number) =>
        group.configuration.members.some(({ replicaId }) => memberNumber(founding.clusterId, replicaId) === number),
      ...(options.stateDiffers === undefined ? {} : { stateDiffers: options.stateDiffers }),
      ...(options.maintenance === undefined ? {} : { maintenance: options.maintenance }),
      ...(options.tokens === undefined ? {} : { tokens: options.tokens }),
      certificatesName: options.certificatesName ?? false,
      ...(options.limits === undefined ? {} : { limits: options.limits }),
      ...(options.times === undefined ? {} : { electionTimeoutUs: options.times.electionTimeoutUs }),
      join: (part) =>
        (group = replicas.addGroup({
          founding: { group: CONSENSUS_GROUP, members: founding.members },
          preferred: founding.members[0]?.nodeId === nodeId,
          ...(founding.joined === undefined ? {} : { joined: founding.joined }),
          configurationChanged: () => node.findMembers(),
          removed: () => node.removed(),
          ...part,
        })),
      changeMembers: (operation) => node.changeMembers(operation),
      leadershipChanged: (leads) => node.leadershipChanged(leads),
    });
    const coordination = new LocalCoordination(host);
    const oracle = new TimestampOracle({ ...ports, coordination });
    const node: ConsensusNode = new ConsensusNode(
      options,
      founding,
      foundingRound,
      replicas,
      group,
      addresses,
      links,
      host,
      coordination,
      oracle,
    );
    node.findMembers();
    node.serve();
    replicas.start();
    await replicas.synced();
    node.returnToVote.start();
    return node;
  }

  get nodeId(): NodeId {
    return this.options.nodeId;
  }

  get ports(): { readonly timers: Timers; readonly random: Random } {
    return this.options.ports;
  }

  /** Where clients reach a member, if it is known to run. */
  clientAddress(member: NodeId): string | undefined {
    return this.directory.find('consensus', member)?.address;
  }

  /** The members, as far as this one has applied the log. */
  get members(): readonly GroupMember[] {
    return this.group.configuration.members;
  }

  /** Whether the other voters make a majority without this member, and are heard from. */
  get canBeSpared(): boolean {
    const voters = this.members.filter(({ learner }) => !learner);
    const heard = voters.filter(
      ({ nodeId }) => nodeId !== undefined && nodeId !== this.nodeId && this.replicas.hears(nodeId),
    );
    return heard.length > voters.length / 2;
  }

  /** How many members come before this one in the log's list. */
  get turn(): number {
    return this.members.findIndex(({ nodeId }) => nodeId === this.nodeId);
  }

  /** How many changes of the members this one has applied. */
  get configurationVersion(): number {
    return this.group.configuration.version;
  }

  /** The same as URLs, for clients of etcd. */
  clientUrls(member: NodeId): readonly string[] {
    const registered = this.directory.find('consensus', member);
    return registered === undefined ? [] : (registered.clientUrls ?? [`http://${registered.address}`]);
  }

  get peerScheme(): 'http' | 'https' {
    return this.options.peerScheme ?? 'http';
  }

  /** Where the other members reach one. */
  peerAddress({ nodeId, address }: GroupMember): string | undefined {
    return address ?? (nodeId === undefined ? undefined : this.addresses.get(nodeId));
  }

  /**
   * One timestamp, from whichever member holds the oracle: for clients that do not find it themselves.
   * @throws {SynodError} as the oracle
   */
  async timestamp(): Promise<bigint> {
    try {
      return (await this.timestamps({ kind: 'timestamps', count: 1 })).first;
    } catch (error) {
      if (!(error instanceof SynodError) || error.kind !== 'not-leader') throw error;
      const { leader } = this.host.group.status();
      const address = leader === undefined || leader === this.nodeId ? undefined : this.addresses.get(leader);
      if (address === undefined) throw error;
      const answer = await this.streamTo(address).request(
        { kind: 'timestamps', count: 1 },
        { timeoutUs: FORWARDED_TIMESTAMP_US },
      );
      return answer.first;
    }
  }

  /** Stops speaking for the cluster, then hearing, then closes the log. The store stays open: it belongs to the caller. */
  async stop(): Promise<void> {
    const gaveUp = new Promise<void>((resolve) => this.options.ports.timers.after(FAREWELL_US, resolve));
    await Promise.race([this.registration.stop(), gaveUp]);
    this.directory.close();
    await Promise.race([this.handOver(), gaveUp]);
    if (this.host.isLeader) this.options.onLeadership?.(false, this.coordination, this.founding);
    this.returnToVote.stop();
    this.oracle.stop();
    this.oracleStream?.close();
    this.host.stop();
    this.links.close();
    this.foundingRound.stop();
    await this.replicas.stop();
  }

  /** A leader that stops names its successor, so that nobody has to find out that it is gone. */
  private async handOver(): Promise<void> {
    const { members } = this.host.group.status();
    for (const { nodeId } of members) {
      if (!this.host.isLeader) return;
      if (nodeId === this.nodeId || !this.replicas.hears(nodeId)) continue;
      const { kind } = await this.host.group.transferLeadership(nodeId);
      if (kind === 'transferred') return;
    }
  }

  /** Makes a change of the members from the present ones, if this member leads; anew if another change came in between. */
  private async changeMembers(operation: MemberOperation): Promise<GroupConfiguration> {
    const { group } = this;
    for (let attempt = 0; attempt < CONFLICTS_MAX; attempt++) {
      const { configuration } = group;
      const { chosenThrough, replicaId: self } = group.status();
      const next = nextConfiguration(
        {
          configuration,
          addressOf: (member) => this.peerAddress(member),
          isConnected: ({ nodeId }) => nodeId === this.nodeId || (nodeId !== undefined && this.replicas.hears(nodeId)),
          chosenThrough,
          progressOf: (replicaId) => (replicaId === self ? chosenThrough : group.progressOf(replicaId)),
          strict: this.options.strictReconfigCheck ?? true,
        },
        operation,
      );
      if (next === configuration) return configuration;
      const result = await group.change(next);
      if (result.kind === 'changed') return next;
      if (result.kind !== 'conflict') throw failure(result);
    }
    throw new EtcdError('too-many-requests');
  }

  /** Follows the members' addresses: those of the log, and of the flags for founders that never moved. */
  private findMembers(): void {
    for (const member of this.members) {
      const address = this.peerAddress(member);
      if (member.nodeId === undefined || address === undefined) continue;
      this.addresses.set(member.nodeId, address);
      this.replicas.setPeer(member.nodeId, address);
    }
    for (const nodeId of this.addresses.keys()) {
      if (this.members.some((member) => member.nodeId === nodeId)) continue;
      this.addresses.delete(nodeId);
      this.replicas.forgetPeer(nodeId);
    }
  }

  private removed(): void {
    this.options.ports.timers.after(LAST_WORDS_US, () => {
      this.options.failed(
        new SynodError(
          'failed-precondition',
          `${this.nodeId} was removed from the cluster and stops; to bring the node back, add it as a new member with an empty data folder`,
        ),
      );
    });
  }

  /** A node with an empty data folder asks for the place that was added under its address. */
  private async admit({ nodeId, incarnation, joinsAt }: FounderReport & { readonly joinsAt: string }) {
    // A place that is taken stays so: whoever has applied that says it, also while nobody leads. The others may need this node's vote for a leader.
    const { configuration } = this.group;
    const isTaken = (member: GroupMember): boolean => member.nodeId === nodeId && member.incarnation === incarnation;
    if (configuration.members.some(isTaken)) return configuration;
    try {
      return await this.host.changeMembers({ kind: 'take', address: joinsAt, nodeId, incarnation });
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      if (error.code === 'member-not-found') {
        throw refusal(
          `cluster ${this.founding.clusterId} has no place at ${joinsAt} for ${nodeId}: add it first (member add), with the address that --initial-cluster names for ${nodeId}`,
        );
      }
      if (error.code === 'member-exists') {
        throw refusal(
          `the place at ${joinsAt}, or the name ${nodeId}, belongs to a member that runs with another data folder: stop one of the two, or give this one a name and a place of its own`,
        );
      }
      throw error;
    }
  }

  private serve(): void {
    const { clientTransport, peerTransport, ports } = this.options;
    this.foundingRound.admit = (report) => this.admit(report);
    this.links.serve(this.host.desk);
    // Members ask each other on the peer port, so that none needs to be a client of another: with TLS those are other certificates.
    for (const transport of new Set([clientTransport, peerTransport])) {
      serveRequests(transport, this.oracleProtocol, (request) => this.timestamps(request), {
        inflightMax: TIMESTAMPS_INFLIGHT_MAX,
        failed: (error) => ports.log.error('a request for timestamps failed', { error: String(error) }),
      });
    }
    this.registration.start();
  }

  private async timestamps({ count }: TimestampRequest): Promise<TimestampResponse & { readonly kind: 'timestamps' }> {
    try {
      return { kind: 'timestamps', ...(await this.oracle.timestamps(count)) };
    } catch (error) {
      throw this.withHint(error);
    }
  }

  private streamTo(address: string): RequestStream<TimestampRequest, TimestampResponse> {
    if (this.oracleStream?.address !== address) {
      this.oracleStream?.close();
      const ports = { ...this.options.ports, transport: this.options.peerTransport };
      this.oracleStream = new RequestStream<TimestampRequest, TimestampResponse>(ports, this.oracleProtocol, address);
    }
    return this.oracleStream;
  }

  /** Adds where to go instead to a refusal of the oracle. */
  private withHint(error: unknown): unknown {
    if (!(error instanceof SynodError) || error.kind !== 'not-leader') return error;
    const { leader } = this.host.group.status();
    const hint = leader === undefined || leader === this.nodeId ? undefined : this.clientAddress(leader);
    return new SynodError('not-leader', error.message, hint === undefined ? { cause: error } : { hint, cause: error });
  }

  private leadershipChanged(leads: boolean): void {
    if (leads) this.oracle.start();
    else this.oracle.stop();
    this.options.onLeadership?.(leads, this.coordination, this.founding);
  }
}

function refusal(message: string): SynodError {
  return new SynodError('failed-precondition', message);
}

/** Where this node serves its peers: its list of members says so, of itself too. */
function ownPeerAddress({ nodeId, founders }: ConsensusNodeOptions): string | undefined {
  return founders.find((founder) => founder.nodeId === nodeId)?.address;
}
