import { invariant } from '@synod/invariant';
import type { GroupConfiguration, Member, NodeId } from '@synod/replication';
import { SynodError, type Connection, type Log, type Random, type Timers, type Transport } from '@synod/runtime';
import { foundingProtocol, type FounderReport } from './founding-protocol';
import type { ClusterFounding, FoundingStore } from './founding-store';

/** A member of the cluster as the configuration names it. */
export interface Founder {
  readonly nodeId: NodeId;
  /** Where it serves its peers. */
  readonly address: string;
}

export interface FoundingOptions {
  readonly nodeId: NodeId;
  /** The random name that this data folder drew when it was empty. */
  readonly incarnation: string;
  /** All founders, this node among them. */
  readonly founders: readonly Founder[];
  /** The cluster runs already: this node takes the place that was added for it. */
  readonly joins?: boolean;
  /** The cluster that knows this node with another data folder: it asks to be taken back there, and founds none. */
  readonly returnsTo?: string;
  /** The same on all founders of one cluster: who has another one founds another cluster. */
  readonly token?: string;
  readonly store: Pick<FoundingStore, 'read' | 'write'>;
  readonly ports: {
    readonly transport: Transport;
    readonly timers: Timers;
    readonly random: Random;
    readonly log: Log;
  };
}

const BACKOFF_MIN_US = 50_000;
const BACKOFF_SPREAD_US = 200_000;
const CLUSTER_ID_BYTES = 8;

/**
 * Founding happens once. Founders tell each other who they are and on which disk. The first of them, by node id, decides when all have
 * spoken and all are empty: it records who takes part, and the others adopt exactly that if it names their own disk. Invariant
 * `founding-names-every-disk`: no acceptor votes on a disk that the founding does not name.
 *
 * An empty disk under the name of a member that voted must not vote: it forgot its promises. It meets the founding, does not find
 * itself in it, and asks the members to take it back as a new replica.
 */
export class FoundingRound {
  private readonly protocol = foundingProtocol();
  private readonly heard = new Map<NodeId, string>();
  private readonly connections = new Set<Connection<FounderReport>>();
  /** Founders that answered for another cluster, as it was last logged. */
  private readonly strangers = new Map<NodeId, string>();
  private founding: ClusterFounding | undefined;
  /** Set while the decision is being written: what is told in between changes nothing. */
  private settling = false;
  private stopped = false;
  /** The cluster runs already, with a place for this node: an added one, or one that it had with another data folder. */
  private joins: boolean;
  /**
   * Finds the place of a node that joins, once this one takes part in the cluster. Rejects with `failed-precondition` if there is none
   * for it; any other failure says nothing.
   */
  admit: ((report: FounderReport & { readonly joinsAt: string }) => Promise<GroupConfiguration>) | undefined;
  private resolve: (founding: ClusterFounding) => void = () => undefined;
  private reject: (error: unknown) => void = () => undefined;

  constructor(private readonly options: FoundingOptions) {
    this.joins = options.joins === true || options.returnsTo !== undefined;
  }

  /**
   * @returns the founding, durable on this node; from an earlier start if there was one
   * @throws {SynodError} `failed-precondition` if the founding that the others hold leaves this disk out
   */
  async establish(): Promise<ClusterFounding> {
    const { store, ports } = this.options;
    const known = await store.read();
    if (known !== undefined) {
      this.verify(known);
      this.founding = known;
    }
    ports.transport.serve(this.protocol, (connection) => this.accept(connection));
    if (known !== undefined) return known;
    const { returnsTo: cluster } = this.options;
    if (cluster !== undefined)
      ports.log.info('asking to be taken back as a new replica', { cluster, incarnation: this.options.incarnation });
    else if (this.joins) ports.log.info('the data folder is empty; asking for a place in the cluster');
    else ports.log.info('the data folder is empty; waiting for all founders', { founders: this.names().join() });
    const established = new Promise<ClusterFounding>((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    for (const founder of this.others()) this.dial(founder);
    this.decideIfFirst();
    return established;
  }

  /** Goes on answering empty founders until then: they have to learn that the founding is over. */
  stop(): void {
    this.stopped = true;
    for (const connection of this.connections) connection.close();
    this.connections.clear();
  }

  private accept(connection: Connection<FounderReport>): { receive(r: FounderReport): void; closed(): void } {
    this.connections.add(connection);
    connection.send(this.report());
    return {
      receive: (report) => {
        if (report.joinsAt === undefined) this.hear(report);
        else void this.answerJoining(connection, { ...report, joinsAt: report.joinsAt });
      },
      closed: () => this.connections.delete(connection),
    };
  }

  private dial(founder: Founder): void {
    if (this.stopped || this.founding !== undefined) return;
    const { transport, timers, random } = this.options.ports;
    const connection = transport.connect(this.protocol, founder.address, {
      receive: (report) => this.hear(report),
      closed: () => {
        this.connections.delete(connection);
        timers.after(BACKOFF_MIN_US + random.below(BACKOFF_SPREAD_US), () => this.dial(founder));
      },
    });
    this.connections.add(connection);
    connection.send(this.report());
  }

  /** A node that joins hears where its place is, or why it has none; or nothing, and asks again. */
  private async answerJoining(
    connection: Connection<FounderReport>,
    joining: FounderReport & { readonly joinsAt: string },
  ): Promise<void> {
    if (this.founding === undefined || this.admit === undefined) return connection.close();
    try {
      const membersNow = await this.admit(joining);
      connection.send({ ...this.report(), membersNow });
    } catch (error) {
      if (!(error instanceof SynodError) || error.kind !== 'failed-precondition') return connection.close();
      connection.send({ ...this.report(), refusal: error.message });
    }
  }

  /** What a node that joins is told by one that takes part. */
  private hearPlace({ nodeId: from, founding, membersNow, refusal }: FounderReport): void {
    if (this.founding !== undefined || this.settling || founding === undefined) return;
    if (this.options.returnsTo !== undefined && founding.clusterId !== this.options.returnsTo) {
      return this.refuseCluster(from, this.options.returnsTo, founding.clusterId);
    }
    if (refusal !== undefined) {
      this.stop();
      return this.reject(new SynodError('failed-precondition', refusal));
    }
    if (membersNow !== undefined) this.settle({ ...founding, joined: membersNow });
  }

  private hear(report: FounderReport): void {
    if (this.joins && this.founding === undefined) return this.hearPlace(report);
    if (this.stopped || !this.names().includes(report.nodeId)) return;
    if (report.founding !== undefined) return this.meet(report.founding, report);
    // It has a place in a cluster that runs, or had one: there is nothing to found with it. Invariant `founding-names-every-disk`.
    if (report.joinsAt !== undefined) return;
    if (this.founding === undefined && report.token !== this.token) return this.refuseStranger(report.nodeId);
    this.heard.set(report.nodeId, report.incarnation);
    const member = this.founding?.members.find(({ nodeId }) => nodeId === report.nodeId);
    if (member !== undefined && member.incarnation !== report.incarnation) {
      this.options.ports.log.warn('an empty data folder runs under the name of a member; it must not vote', {
        node: report.nodeId,
        expected: member.incarnation,
        found: report.incarnation,
      });
    }
    this.decideIfFirst();
  }

  /** A founder of another cluster, under a name and an address of this one: it is not waited for, and not heard. */
  private refuseStranger(from: NodeId): void {
    this.options.ports.log.error('a founder has another --initial-cluster-token; it is not counted', { node: from });
  }

  private refuseCluster(node: NodeId, ownCluster: string, otherCluster: string): void {
    // It is dialled again and again.
    if (this.strangers.get(node) === otherCluster) return;
    this.strangers.set(node, otherCluster);
    const message = 'a node of another cluster answers under the address of a founder';
    this.options.ports.log.error(message, { node, ownCluster, otherCluster });
  }

  /** Another founder holds a founding: it is adopted, or it is why this node must not start. */
  private meet(founding: ClusterFounding, { nodeId: from, token }: FounderReport): void {
    if (this.founding !== undefined) {
      if (this.founding.clusterId !== founding.clusterId) {
        this.refuseCluster(from, this.founding.clusterId, founding.clusterId);
      }
      return;
    }
    const self = founding.members.find(({ nodeId }) => nodeId === this.options.nodeId);
    try {
      if (self !== undefined && self.incarnation !== this.options.incarnation) {
        if (token !== this.token) throw this.anotherCluster(founding);
        return this.askToReturn(self.incarnation);
      }
      this.verify(founding);
    } catch (error) {
      this.stop();
      this.reject(error);
      return;
    }
    this.settle(founding);
  }

  /** This data folder is empty, and the cluster has known this node with another one. */
  private askToReturn(lost: string): void {
    const { ports, incarnation } = this.options;
    ports.log.warn('the cluster knows this node with another data folder; asking to be taken back as a new replica', {
      lost,
      incarnation,
    });
    this.joins = true;
    for (const connection of this.connections) connection.send(this.report());
  }

  private anotherCluster({ clusterId }: ClusterFounding): SynodError {
    return new SynodError(
      'failed-precondition',
      `cluster ${clusterId}, which runs at the addresses of --initial-cluster and knows ${this.options.nodeId}, has another ` +
        '--initial-cluster-token: stop it before another one is founded there, or give its token to come back to it',
    );
  }

  private decideIfFirst(): void {
    const names = this.names();
    const first = names[0] === this.options.nodeId && !this.joins;
    if (!first || this.founding !== undefined || !this.others().every(({ nodeId }) => this.heard.has(nodeId))) return;
    const { nodeId: self, incarnation, ports } = this.options;
    const members = names.map((nodeId, index): Member => {
      const disk = nodeId === self ? incarnation : this.heard.get(nodeId);
      if (disk === undefined) throw new Error(`founder ${nodeId} was not heard`);
      return { replicaId: index + 1, nodeId, incarnation: disk };
    });
    this.settle({ clusterId: ports.random.bytes(CLUSTER_ID_BYTES).toString('hex'), members });
  }

  private settle(decided: ClusterFounding): void {
    if (this.settling) return;
    this.settling = true;
    const { nodeId: self, incarnation } = this.options;
    const named = [...decided.members, ...(decided.joined?.members ?? [])].some(
      (member) => member.nodeId === self && member.incarnation === incarnation,
    );
    invariant(named, 'founding-names-every-disk', () => `${self} with ${incarnation}`);
    const founding = this.token === '' ? decided : { ...decided, token: this.token };
    // On disk before anyone hears of it: the first founder must find its own decision again.
    this.options.store.write(founding).then(
      () => {
        this.founding = founding;
        this.options.ports.log.info('the cluster is founded', { cluster: founding.clusterId });
        for (const connection of this.connections) connection.send(this.report());
        this.resolve(founding);
      },
      (error: unknown) => this.reject(error),
    );
  }

  private verify(founding: ClusterFounding): void {
    const { nodeId, incarnation } = this.options;
    const { joins } = this;
    if (founding.joined !== undefined) return; // A place was taken for this very folder.
    const self = founding.members.find((member) => member.nodeId === nodeId);
    if (self !== undefined && self.incarnation !== incarnation) {
      throw new SynodError(
        'failed-precondition',
        `the data folder of ${nodeId} is foreign (incarnation ${incarnation}), but cluster ${founding.clusterId} knows ` +
          `${nodeId} with incarnation ${self.incarnation}: restore that folder, it must not vote on what it forgot`,
      );
    }
    const founded = founding.members.map((member) => member.nodeId);
    // Members that came later are named by whoever joined, and may be named by everyone.
    if (self === undefined || (!joins && founded.join() !== this.names().join())) {
      throw new SynodError(
        'failed-precondition',
        `cluster ${founding.clusterId} was founded by ${founded.join(', ')}, but the configuration of ${nodeId} names ` +
          `${this.names().join(', ')}: give every member the same --initial-cluster as at the founding`,
      );
    }
  }

  private report(): FounderReport {
    const { nodeId, incarnation, founders } = this.options;
    const { token, founding, joins } = this;
    const own = founders.find((founder) => founder.nodeId === nodeId);
    if (joins && founding === undefined && own !== undefined) {
      return { nodeId, incarnation, token, founding: undefined, joinsAt: own.address };
    }
    const told = founding && { clusterId: founding.clusterId, members: founding.members };
    return { nodeId, incarnation, token, founding: told };
  }

  private get token(): string {
    return this.founding?.token ?? this.options.token ?? '';
  }

  private names(): NodeId[] {
    return this.options.founders.map(({ nodeId }) => nodeId).sort();
  }

  private others(): Founder[] {
    return this.options.founders.filter(({ nodeId }) => nodeId !== this.options.nodeId);
  }
}
