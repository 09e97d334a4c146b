import type { ClusterRecord, Coordination, NodeRegistration } from '@synod/coordination';
import type { ShardId, TxnHandle } from '@synod/protocols';
import { SynodError } from '@synod/runtime';
import { Committer, type AttemptOutcome } from './committer';
import { KeyValueClient } from './key-value-client';
import type { ClientPorts } from './ports';
import { Routing } from './routing';
import { ShardRouter } from './shard-router';
import { SnapshotReader } from './snapshot-reader';
import { TimestampClient } from './timestamp-client';
import type { Transaction } from './transaction';
import { TransactionClient, type Committed, type TransactionOptions } from './transaction-client';

/** A shard, as a client sees it. */
export interface ShardStatus {
  readonly shard: ShardId;
  /** Node ids, the preferred leader first. */
  readonly replicas: readonly string[];
  /** The node that just answered for the shard; undefined if none did in time. */
  readonly leader: string | undefined;
}

export interface ClusterStatus {
  readonly cluster: ClusterRecord;
  readonly nodes: readonly NodeRegistration[];
  readonly shards: readonly ShardStatus[];
}

/** How long a shard is given to show its leader. */
const STATUS_TIMEOUT_US = 3_000_000;

/** A connection to a cluster: the sharded store, transactions over it, and what is known of the cluster. */
export class SynodClient {
  readonly kv: KeyValueClient;
  readonly routing: Routing;
  readonly router: ShardRouter;
  readonly timestamps: TimestampClient;
  private readonly committer: Committer;
  private readonly transactions: TransactionClient;

  /**
   * @param oracle addresses of the coordination service's members, which serve timestamps
   * @param release ends what was made for this client alone; called by `close`
   */
  constructor(
    readonly coordination: Coordination,
    oracle: () => readonly string[],
    ports: ClientPorts,
    private readonly release: () => void = () => undefined,
  ) {
    this.routing = new Routing({ ...ports, coordination });
    this.router = new ShardRouter(ports, this.routing);
    this.timestamps = new TimestampClient(ports, oracle);
    this.committer = new Committer(ports, this.routing);
    const reader = new SnapshotReader(this.routing, this.router);
    const { routing, router, timestamps, committer } = this;
    this.transactions = new TransactionClient(ports, { routing, reader, timestamps, committer });
    this.kv = new KeyValueClient({ routing, router, reader, timestamps, transactions: this.transactions });
  }

  /** Runs `work` as a strictly serializable transaction and returns what it returns; see `TransactionClient.run`. */
  async transaction<T>(work: (transaction: Transaction) => Promise<T>, options?: TransactionOptions): Promise<T> {
    return (await this.execute(work, options)).value;
  }

  /** As `transaction`, with where it stands in the order of all, and how often it was tried. */
  execute<T>(work: (transaction: Transaction) => Promise<T>, options?: TransactionOptions): Promise<Committed<T>> {
    return this.transactions.run(work, options);
  }

  /** What became of a transaction whose answer was lost; final. See `TransactionClient.outcome`. */
  outcome(txn: TxnHandle, attempt: number, timeoutUs?: number): Promise<AttemptOutcome> {
    return this.transactions.outcome(txn, attempt, timeoutUs);
  }

  /** What runs, and who leads what. Asks every shard. */
  async status(): Promise<ClusterStatus> {
    const cluster = await this.routing.ready();
    const shards = Array.from({ length: cluster.shardCount }, (_, shard) => this.shardStatus(shard));
    return { cluster, shards: await Promise.all(shards), nodes: this.routing.nodes() };
  }

  /** Requests in flight fail. Nothing of the client keeps the program alive afterwards. */
  close(): void {
    this.timestamps.close();
    this.committer.close();
    this.router.close();
    this.routing.close();
    this.release();
  }

  private async shardStatus(shard: ShardId): Promise<ShardStatus> {
    const replicas = (this.routing.placementOf(shard)?.members ?? []).map((member) => member.nodeId);
    return { shard, replicas, leader: await this.leaderOf(shard) };
  }

  /** A read of nothing still makes the leader confirm that it leads. */
  private async leaderOf(shard: ShardId): Promise<string | undefined> {
    try {
      const nothing = { kind: 'read', shard, keys: [], readTs: 0n } as const;
      await this.router.request(shard, nothing, { timeoutUs: STATUS_TIMEOUT_US });
    } catch (error) {
      if (!(error instanceof SynodError)) throw error;
      return undefined;
    }
    const address = this.router.leaderOf(shard);
    return this.routing.nodes('storage-shard').find((node) => node.address === address)?.nodeId;
  }
}
