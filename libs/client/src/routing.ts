import { shardOf, SLOT_HASH } from '@synod/consistent-hashing';
import {
  NodeDirectory,
  PlacementView,
  type ClusterRecord,
  type Coordination,
  type NodeRegistration,
  type Service,
  type ShardPlacement,
} from '@synod/coordination';
import type { ShardId } from '@synod/protocols';
import { SynodError, type Cancel, type Log, type Random, type Timers } from '@synod/runtime';
import type { Target } from './seeker';

/** Who leads each shard, as far as is known here, and who could: the client's map of the cluster. All of it is hints. */
export class Routing {
  private readonly directory: NodeDirectory;
  private readonly view: PlacementView;
  private readonly shards = new Map<ShardId, Target>();
  private readonly lastAddresses = new Map<string, string>();
  private readonly founding: Promise<ClusterRecord>;
  private known: ClusterRecord | undefined;

  constructor(ports: {
    readonly coordination: Coordination;
    readonly timers: Timers;
    readonly random: Random;
    readonly log: Log;
  }) {
    this.directory = new NodeDirectory(ports);
    this.view = new PlacementView(ports);
    this.founding = this.learnCluster();
    // Whoever waits for it hears of a failure; without anyone waiting it is nobody's.
    this.founding.catch(() => undefined);
  }

  /**
   * Resolves once the cluster is founded and known here.
   * @throws {SynodError} `failed-precondition` if the cluster maps keys to shards in another way than this release
   */
  ready(): Promise<ClusterRecord> {
    return this.founding;
  }

  /** Undefined before `ready`. */
  get cluster(): ClusterRecord | undefined {
    return this.known;
  }

  /** @throws {SynodError} `unavailable` before `ready` */
  get shardCount(): number {
    if (this.known === undefined)
      throw new SynodError('unavailable', 'the cluster is not founded yet, or not known here');
    return this.known.shardCount;
  }

  shardOf(key: Uint8Array): ShardId {
    return shardOf(key, this.shardCount);
  }

  /** How to reach the leader of a shard; one object for each, so that what one request learns the next one knows. */
  shard(shard: ShardId): Target {
    let known = this.shards.get(shard);
    if (known === undefined) {
      known = target(`shard ${shard}`, () => this.addressesOf(shard));
      this.shards.set(shard, known);
    }
    return known;
  }

  /** Any node of a service; `salt` spreads clients over them. */
  service(service: Service, salt: number): Target {
    return target(service, () => {
      const addresses = this.directory.nodes(service).map((node) => node.address);
      const first = addresses.length === 0 ? 0 : salt % addresses.length;
      return [...addresses.slice(first), ...addresses.slice(0, first)];
    });
  }

  /** Undefined while it is not known. */
  placementOf(shard: ShardId): ShardPlacement | undefined {
    return this.view.placementOf(shard);
  }

  nodes(service?: Service): NodeRegistration[] {
    return this.directory.nodes(service);
  }

  find(service: Service, nodeId: string): NodeRegistration | undefined {
    return this.directory.find(service, nodeId);
  }

  onChange(listener: () => void): Cancel {
    const cancels = [this.directory.onChange(listener), this.view.onChange(listener)];
    return () => cancels.forEach((cancel) => cancel());
  }

  close(): void {
    this.directory.close();
    this.view.close();
  }

  private async learnCluster(): Promise<ClusterRecord> {
    const { cluster } = await this.view.whenFounded();
    if (cluster.hash !== SLOT_HASH) {
      throw new SynodError(
        'failed-precondition',
        `the cluster maps keys to shards by ${cluster.hash}, this release by ${SLOT_HASH}: use the cluster's release`,
      );
    }
    this.known = cluster;
    return cluster;
  }

  /** The members' nodes, the preferred leader first. One whose lease ended is tried all the same: it may only be cut off from us. */
  private addressesOf(shard: ShardId): string[] {
    const members = this.view.placementOf(shard)?.members ?? [];
    return members.flatMap(({ nodeId }) => {
      const address = this.directory.find('storage-shard', nodeId)?.address;
      if (address !== undefined) this.lastAddresses.set(nodeId, address);
      return address ?? this.lastAddresses.get(nodeId) ?? [];
    });
  }
}

function target(name: string, candidates: () => readonly string[]): Target {
  return { name, candidates, leader: undefined };
}
