import type { ShardRouter } from '@synod/client';
import type { ShardId, StorageRequest, StorageResponse } from '@synod/protocols';
import { SynodError } from '@synod/runtime';
import type { ShardHost } from './host/shard-host';
import type { ShardRouter as ShardRouterPort } from './host/ports';

/** The way from one shard to another: often the other is led by this very node, and needs no message. */
export class LocalFirstRouter implements ShardRouterPort {
  constructor(
    private readonly hosts: ReadonlyMap<ShardId, ShardHost>,
    private readonly remote: ShardRouter,
  ) {}

  async request(shard: ShardId, request: StorageRequest): Promise<StorageResponse> {
    const host = this.hosts.get(shard);
    if (host?.leads === true) {
      try {
        return await host.handle(request);
      } catch (error) {
        if (!(error instanceof SynodError) || error.kind !== 'not-leader') throw error;
      }
    }
    return this.remote.request(shard, request);
  }
}
