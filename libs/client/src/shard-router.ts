import {
  storageProtocol,
  type ErrorResponse,
  type ShardId,
  type StorageRequest,
  type StorageResponse,
} from '@synod/protocols';
import { SynodError } from '@synod/runtime';
import type { ClientPorts } from './ports';
import type { Routing } from './routing';
import { Seeker } from './seeker';

export type StorageAnswer = Exclude<StorageResponse, ErrorResponse>;

export interface ShardRequestOptions {
  /** For finding the leader and its answer together. */
  readonly timeoutUs: number;
}

const DEFAULT_TIMEOUT_US = 5_000_000;
/** A node that does not answer for that long may be cut off from here; a leader's own waits for locks are mostly shorter. */
const TRY_TIMEOUT_US = 2_000_000;

/** Sends requests to the leaders of shards, wherever they are. */
export class ShardRouter {
  private readonly seeker: Seeker<StorageRequest, StorageResponse>;

  constructor(
    ports: ClientPorts,
    private readonly routing: Routing,
  ) {
    this.seeker = new Seeker<StorageRequest, StorageResponse>(ports, storageProtocol());
  }

  /**
   * Every request of a shard is idempotent, the writing ones per attempt: one whose answer was lost is sent again until it is
   * answered or the time is up.
   * @throws {SynodError} `outcome-unknown` if a request that changes something was sent and never answered; `unavailable` or
   *   `overloaded` if certainly nothing was done; others as the leader says
   */
  async request(shard: ShardId, request: StorageRequest, options?: ShardRequestOptions): Promise<StorageAnswer> {
    const timeoutUs = options?.timeoutUs ?? DEFAULT_TIMEOUT_US;
    try {
      return await this.seeker.ask(this.routing.shard(shard), request, {
        timeoutUs,
        tryTimeoutUs: TRY_TIMEOUT_US,
        resend: true,
      });
    } catch (error) {
      if (!(error instanceof SynodError) || error.kind !== 'outcome-unknown' || !onlyReads(request)) throw error;
      throw new SynodError('unavailable', error.message, { cause: error });
    }
  }

  /** The address that answered last for a shard, if any did. */
  leaderOf(shard: ShardId): string | undefined {
    return this.routing.shard(shard).leader;
  }

  close(): void {
    this.seeker.close();
  }
}

function onlyReads(request: StorageRequest): boolean {
  switch (request.kind) {
    case 'read':
    case 'scan':
    case 'status':
      return true;
    case 'prepare':
    case 'commit-one-phase':
    case 'decide':
    case 'resolve':
      return false;
  }
}
