import type { ShardId, Timestamp } from '@synod/protocols';
import { SynodError } from '@synod/runtime';
import type { Routing } from './routing';
import type { ShardRouter } from './shard-router';

/** What a key held at a timestamp. */
export interface VersionedValue {
  /** Undefined if the key was absent. */
  readonly value: Buffer | undefined;
  /** Commit timestamp of the version, of the deletion, or 0 if the key never was. */
  readonly version: Timestamp;
}

/** Reads keys of any shards at one timestamp: what everything committed at or below it left behind. */
export class SnapshotReader {
  constructor(
    private readonly routing: Routing,
    private readonly router: ShardRouter,
  ) {}

  /**
   * @returns in the order of `keys`
   * @throws {SynodError} `unavailable`, `overloaded`
   */
  async read(keys: readonly Buffer[], readTs: Timestamp, timeoutUs: number): Promise<VersionedValue[]> {
    await this.routing.ready();
    const byShard = new Map<ShardId, number[]>();
    keys.forEach((key, index) => {
      const shard = this.routing.shardOf(key);
      byShard.set(shard, [...(byShard.get(shard) ?? []), index]);
    });
    const found = new Array<VersionedValue>(keys.length);
    await Promise.all(
      [...byShard].map(async ([shard, indexes]) => {
        const asked = indexes.map((index) => keys[index] as Buffer);
        const values = await this.readShard(shard, asked, readTs, timeoutUs);
        indexes.forEach((index, position) => (found[index] = values[position] as VersionedValue));
      }),
    );
    return found;
  }

  private async readShard(
    shard: ShardId,
    keys: Buffer[],
    readTs: Timestamp,
    timeoutUs: number,
  ): Promise<readonly VersionedValue[]> {
    const answer = await this.router.request(shard, { kind: 'read', shard, keys, readTs }, { timeoutUs });
    if (answer.kind === 'read' && answer.values.length === keys.length) return answer.values;
    throw new SynodError('corrupt', `shard ${shard} answered a read of ${keys.length} keys with ${answer.kind}`);
  }
}
