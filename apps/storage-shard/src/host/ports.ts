import type { ShardId, StorageRequest, StorageResponse, Timestamp } from '@synod/protocols';

/** The timestamp oracle, as a shard's leader uses it. */
export interface TimestampSource {
  /**
   * A timestamp above every one that was issued before this call, to anyone.
   * @throws {SynodError} `unavailable` or `outcome-unknown`; either way no timestamp was received
   */
  next(): Promise<Timestamp>;
}

/** The other shards, as a shard's leader uses them: finds each one's leader, wherever it is, this node included. */
export interface ShardRouter {
  /** @throws {SynodError} as the leader answered, or `unavailable` / `outcome-unknown` if none did within the router's bounds */
  request(shard: ShardId, request: StorageRequest): Promise<StorageResponse>;
}
