import { Routing, ShardRouter, SnapshotReader, TimestampClient } from '@synod/client';
import { Registration, type Coordination } from '@synod/coordination';
import {
  coordinatorProtocol,
  serveRequests,
  type CoordinatorRequest,
  type CoordinatorResponse,
} from '@synod/protocols';
import type { Clock, Log, Probes, Random, Timers, Transport } from '@synod/runtime';
import { Commits } from './commits';
import { COORDINATOR_DEFAULTS, type CoordinatorOptions } from './options';
import { ThinTransactions } from './thin-transactions';

export interface CoordinatorIdentity {
  readonly nodeId: string;
  readonly incarnation: string;
  /** Where clients reach it, as advertised. */
  readonly address: string;
  readonly httpAddress?: string;
}

export interface CoordinatorParts {
  readonly identity: CoordinatorIdentity;
  readonly ports: {
    readonly clock: Clock;
    readonly timers: Timers;
    readonly random: Random;
    readonly transport: Transport;
    readonly coordination: Coordination;
    readonly log: Log;
    readonly probes: Probes;
  };
  /** Addresses of the coordination service's members, which serve timestamps. */
  readonly oracle: readonly string[];
  readonly options?: Partial<CoordinatorOptions>;
  /** An error that no request caused and none can be answered with: a bug. Stops the process. */
  readonly fault: (error: unknown) => void;
}

/**
 * A transaction coordinator: gives out read timestamps, drives two-phase commit, and tells what became of transactions. Holds nothing
 * that matters: it may die at any moment and be replaced by any other.
 */
export class CoordinatorNode {
  readonly thin: ThinTransactions;
  private readonly routing: Routing;
  private readonly router: ShardRouter;
  private readonly timestamps: TimestampClient;
  private readonly commits: Commits;
  private readonly registration: Registration;
  private readonly options: CoordinatorOptions;

  constructor(private readonly parts: CoordinatorParts) {
    const { ports, identity, oracle } = parts;
    this.options = { ...COORDINATOR_DEFAULTS, ...parts.options };
    this.routing = new Routing(ports);
    this.router = new ShardRouter(ports, this.routing);
    this.timestamps = new TimestampClient(ports, () => oracle);
    this.commits = new Commits({ ...ports, shards: this.router, routing: this.routing }, this.options);
    const reader = new SnapshotReader(this.routing, this.router);
    const { routing, timestamps, commits } = this;
    this.thin = new ThinTransactions(identity.nodeId, { ...ports, routing, reader, timestamps, commits }, this.options);
    this.registration = new Registration(ports, { service: 'txn-coordinator', ...identity });
  }

  /** Serves, and registers once the cluster is founded. */
  start(): void {
    this.serve();
    this.founded().then(
      () => this.register(),
      (error: unknown) => this.parts.fault(error),
    );
  }

  /** Answers requests. Nobody knows of this node yet. */
  serve(): void {
    const { transport } = this.parts.ports;
    serveRequests<CoordinatorRequest, CoordinatorResponse>(
      transport,
      coordinatorProtocol(),
      (request) => this.handle(request),
      { inflightMax: this.options.inflightMax, failed: (error) => this.parts.fault(error) },
    );
  }

  /** Lets clients find this node. */
  register(): void {
    this.registration.start();
  }

  /** Sends new clients elsewhere and lets commits in progress finish, for `atMostUs` at most. To be followed by `stop`. */
  async drain(atMostUs: number): Promise<void> {
    await Promise.all([this.registration.stop(), this.commits.drain(atMostUs)]);
  }

  /** Takes no more part; commits in progress are left to whoever meets them. */
  async stop(): Promise<void> {
    await this.registration.stop();
    this.thin.stop();
    this.commits.stop();
    this.timestamps.close();
    this.router.close();
    this.routing.close();
  }

  /** Why the coordinator cannot do its work now, or undefined if it can. */
  obstacle(): string | undefined {
    if (this.routing.cluster === undefined) return 'the cluster is not founded yet';
    return this.registration.registered ? undefined : 'not registered yet';
  }

  /** Resolves with the cluster's id once it is founded. @throws {SynodError} if this release cannot work with it */
  async founded(): Promise<string> {
    return (await this.routing.ready()).clusterId;
  }

  /** For metrics. */
  get load(): { readonly commits: number; readonly sessions: number } {
    return { commits: this.commits.size, sessions: this.thin.size };
  }

  private async handle(request: CoordinatorRequest): Promise<CoordinatorResponse> {
    switch (request.kind) {
      case 'begin':
        return { kind: 'begun', readTs: await this.timestamps.next() };
      case 'commit': {
        const { attempt, reads, writes } = request;
        return { kind: 'outcome', ...(await this.commits.commit(attempt, reads, writes)) };
      }
      case 'outcome':
        return { kind: 'outcome', ...(await this.commits.outcome(request.txn, request.attempt)) };
    }
  }
}
