import { connect, type ConnectOptions, SnapshotReader as KeyReader, type SynodClient } from '@synod/client';
import type { SnapshotReader } from './snapshot-reader';

/** For some keys of a split; a shard may have to elect a leader meanwhile. */
const READ_TIMEOUT_US = 20_000_000;

/** The store of the cluster, connected to when it is first read. */
export class StoreSnapshot implements SnapshotReader {
  private client: Promise<SynodClient> | undefined;

  constructor(
    private readonly endpoints: readonly string[],
    private readonly credentials?: ConnectOptions['credentials'],
  ) {}

  async values(keys: readonly Buffer[], readTs: bigint): Promise<readonly (Buffer | undefined)[]> {
    const { routing, router } = await this.connected();
    const found = await new KeyReader(routing, router).read(keys, readTs, READ_TIMEOUT_US);
    return found.map(({ value }) => value);
  }

  async *rows(range: Parameters<SnapshotReader['rows']>[0]): ReturnType<SnapshotReader['rows']> {
    yield* (await this.connected()).kv.rows(range);
  }

  private connected(): Promise<SynodClient> {
    this.client ??= connect({ endpoints: this.endpoints, credentials: this.credentials });
    // What failed to connect is tried anew by the next attempt.
    this.client.catch(() => (this.client = undefined));
    return this.client;
  }
}
