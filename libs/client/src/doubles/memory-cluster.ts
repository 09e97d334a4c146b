import { SLOT_HASH } from '@synod/consistent-hashing';
import {
  clusterCodec,
  clusterKey,
  foundingPlacements,
  ManualTime,
  MemoryCoordination,
  nodeCodec,
  nodeKey,
  placementCodec,
  placementKey,
  type Service,
} from '@synod/coordination';
import {
  oracleProtocol,
  serveRequests,
  storageProtocol,
  type ShardId,
  type StorageRequest,
  type StorageResponse,
  type Timestamp,
  type TimestampRequest,
  type TimestampResponse,
} from '@synod/protocols';
import { silentLog, SynodError, type Random } from '@synod/runtime';
import type { ClientPorts } from '../ports';
import { SynodClient } from '../synod-client';
import { MemoryNetwork } from './memory-network';
import { MemoryShard } from './memory-shard';

const INFLIGHT_MAX = 1_000;

export const ORACLE_NODES = ['consensus-1:2379', 'consensus-2:2389', 'consensus-3:2399'] as const;
export const STORAGE_NODES = ['storage-shard-1', 'storage-shard-2', 'storage-shard-3'] as const;

/** Where a storage node of a `MemoryCluster` serves. */
export function storageAddress(node: string): string {
  return `${node}:2500`;
}

/**
 * A cluster in the memory of one process for the specs of its clients: an oracle, and shards on three nodes. Shards are not
 * replicated: all nodes act on the same ones, and each serves those it leads, so leadership can be moved by a spec at will.
 */
export class MemoryCluster {
  readonly time = new ManualTime();
  readonly coordination = new MemoryCoordination();
  readonly network = new MemoryNetwork(this.time);
  readonly shards: readonly MemoryShard[];
  /** Node by shard; a spec may change it. `undefined`: an election is going on. */
  readonly leaders = new Map<ShardId, string | undefined>();
  /** Address of the member that serves timestamps; a spec may change it. */
  oracleLeader: string = ORACLE_NODES[0];
  private lastTs = 1_000n;
  private draws = 1;

  constructor(readonly shardCount = 8) {
    this.shards = Array.from({ length: shardCount }, (_, shard) => new MemoryShard(shard, () => this.nextTs()));
    this.found();
    for (const node of STORAGE_NODES) this.serveStorage(node);
    for (const address of ORACLE_NODES) this.serveOracle(address);
  }

  /** Ports of a node or program at `address`. */
  ports(address: string): ClientPorts {
    const { time, network } = this;
    return { clock: time, timers: time, random: this.random(), transport: network.transport(address), log: silentLog };
  }

  client(address = 'client:0'): SynodClient {
    return new SynodClient(this.coordination, () => ORACLE_NODES, this.ports(address));
  }

  register(service: Service, nodeId: string, address: string): void {
    const node = { service, nodeId, incarnation: `of-${nodeId}`, address };
    this.coordination.put(nodeKey(service, nodeId), nodeCodec.encode(node));
  }

  nextTs(count = 1): Timestamp {
    const first = this.lastTs + 1n;
    this.lastTs += BigInt(count);
    return first;
  }

  /** True once no shard holds a lock or intent. */
  get quiet(): boolean {
    return this.shards.every((shard) => shard.quiet);
  }

  private found(): void {
    const cluster = { clusterId: 'memory', shardCount: this.shardCount, hash: SLOT_HASH };
    this.coordination.put(clusterKey(), clusterCodec.encode(cluster));
    for (const node of STORAGE_NODES) this.register('storage-shard', node, storageAddress(node));
    const nodes = STORAGE_NODES.map((nodeId) => ({ nodeId, incarnation: `of-${nodeId}` }));
    for (const placement of foundingPlacements(this.shardCount, 3, nodes)) {
      this.coordination.put(placementKey(placement.shard), placementCodec.encode(placement));
      this.leaders.set(placement.shard, placement.members[0]?.nodeId);
    }
  }

  private serveStorage(node: string): void {
    const handle = async (request: StorageRequest): Promise<StorageResponse> => {
      const leader = this.leaders.get(request.shard);
      const shard = this.shards[request.shard];
      if (leader === node && shard !== undefined) return shard.handle(request);
      const details = leader === undefined ? {} : { hint: storageAddress(leader) };
      throw new SynodError('not-leader', `shard ${request.shard} is led by ${leader ?? 'nobody'}`, details);
    };
    const transport = this.network.transport(storageAddress(node));
    serveRequests<StorageRequest, StorageResponse>(transport, storageProtocol(), handle, { inflightMax: INFLIGHT_MAX });
  }

  private serveOracle(address: string): void {
    const handle = async ({ count }: TimestampRequest): Promise<TimestampResponse> => {
      if (this.oracleLeader === address) return { kind: 'timestamps', first: this.nextTs(count), count };
      throw new SynodError('not-leader', `the oracle is at ${this.oracleLeader}`, { hint: this.oracleLeader });
    };
    const transport = this.network.transport(address);
    serveRequests<TimestampRequest, TimestampResponse>(transport, oracleProtocol(), handle, {
      inflightMax: INFLIGHT_MAX,
    });
  }

  /** A small generator (Park & Miller, 1988), so that ids differ and every run is the same. */
  private random(): Random {
    const next = (): number => (this.draws = (this.draws * 48_271) % 0x7fff_ffff);
    return {
      below: (bound) => next() % bound,
      bytes: (length) => Buffer.from(Array.from({ length }, () => next() & 0xff)),
    };
  }
}
