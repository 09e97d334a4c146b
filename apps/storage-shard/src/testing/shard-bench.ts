import { ManualTime } from '@synod/coordination';
import type { ShardId, StorageRequest, StorageResponse, Timestamp } from '@synod/protocols';
import { noProbes, silentLog, SynodError } from '@synod/runtime';
import { ShardHost } from '../host/shard-host';
import type { ShardHostOptions } from '../host/options';
import type { ShardResult } from '../state/shard-state-machine';
import { MemoryGroup } from './memory-group';
import { MemoryStore } from './memory-store';

/** One shard with two replicas, on nodes `s1` and `s2`; `s1` leads at first. */
export interface BenchShard {
  readonly group: MemoryGroup<ShardResult>;
  readonly hosts: readonly [ShardHost, ShardHost];
  readonly stores: readonly [MemoryStore, MemoryStore];
}

/** A few shards, a clock that stands still and an oracle that counts, for specs of the shard host. Key `2/x` is of shard 2. */
export class ShardBench {
  readonly time = new ManualTime();
  readonly shards: readonly BenchShard[];
  /** Rare states that were reached. */
  readonly reached = new Set<string>();
  private clock: Timestamp = 0n;
  /** While true, the oracle does not answer. */
  oracleHeld = false;
  private heldOracle: (() => void)[] = [];
  /** Requests between shards, as they were made. */
  readonly routed: StorageRequest[] = [];
  /** Shards that other shards cannot reach. */
  readonly unreachable = new Set<ShardId>();

  constructor(shardCount: number, options: Partial<ShardHostOptions> = {}) {
    this.shards = Array.from({ length: shardCount }, (_, shard) => this.shard(shard, options));
    for (const { group } of this.shards) group.appoint('s1');
  }

  /** A timestamp above all before. */
  now(): Timestamp {
    return ++this.clock;
  }

  /** The host of the shard on `s1`, which leads at first. */
  host(shard: ShardId): ShardHost {
    return (this.shards[shard] as BenchShard).hosts[0];
  }

  /** The node that took over, `s2`. */
  successor(shard: ShardId): ShardHost {
    return (this.shards[shard] as BenchShard).hosts[1];
  }

  group(shard: ShardId): MemoryGroup<ShardResult> {
    return (this.shards[shard] as BenchShard).group;
  }

  /** Asks whoever leads, and lets time pass until the answer is there. */
  ask(request: StorageRequest): Promise<StorageResponse> {
    return this.time.until(this.send(request));
  }

  /** Asks whoever leads; the spec moves time. */
  send(request: StorageRequest): Promise<StorageResponse> {
    const { hosts } = this.shards[request.shard] as BenchShard;
    return (hosts.find((host) => host.leads) ?? hosts[0]).handle(request);
  }

  releaseOracle(): void {
    this.oracleHeld = false;
    for (const release of this.heldOracle.splice(0)) release();
  }

  private shard(shard: ShardId, options: Partial<ShardHostOptions>): BenchShard {
    const group = new MemoryGroup<ShardResult>(`shard-${shard}`, this.time);
    const stores = [new MemoryStore(), new MemoryStore()] as const;
    const prefix = Buffer.of(2, 0, shard);
    const host = (nodeId: string, store: MemoryStore): ShardHost => {
      const made = new ShardHost({
        shard,
        prefix,
        store,
        ports: {
          clock: this.time,
          timers: this.time,
          log: silentLog,
          probes: { sometimes: (state) => (this.reached.add(state), noProbes.sometimes(state)) },
        },
        timestamps: { next: () => this.timestamp() },
        router: { request: (to, request) => this.route(to, request) },
        owns: (key) => key.toString('latin1').startsWith(`${shard}/`),
        addressOf: (node) => `${node}:2500`,
        options,
      });
      const joined = group.join({
        nodeId,
        store,
        stateMachine: made.stateMachine,
        leadershipChanged: (leads) => made.leadershipChanged(leads),
      });
      made.attach(joined);
      return made;
    };
    return { group, stores, hosts: [host('s1', stores[0]), host('s2', stores[1])] };
  }

  private async timestamp(): Promise<Timestamp> {
    if (this.oracleHeld) {
      // Issued when it was asked for: what a slow answer carries is old.
      const issued = this.now();
      await new Promise<void>((resolve) => this.heldOracle.push(resolve));
      return issued;
    }
    await new Promise<void>((resolve) => this.time.after(100, resolve));
    return this.now();
  }

  private async route(shard: ShardId, request: StorageRequest): Promise<StorageResponse> {
    this.routed.push(request);
    await new Promise<void>((resolve) => this.time.after(500, resolve));
    if (this.unreachable.has(shard)) throw new SynodError('unavailable', `shard ${shard} is cut off`);
    return this.send(request);
  }
}
