import { connect, type SynodClient } from '@synod/client';
import type { SnapshotReader } from './snapshot-reader';

/** The store of the cluster, connected to when it is first read. */
export class StoreSnapshot implements SnapshotReader {
  private client: Promise<SynodClient> | undefined;

  constructor(private readonly endpoints: readonly string[]) {}

  async *rows(range: Parameters<SnapshotReader['rows']>[0]): ReturnType<SnapshotReader['rows']> {
    this.client ??= connect({ endpoints: this.endpoints });
    // What failed to connect is tried anew by the next attempt.
    this.client.catch(() => (this.client = undefined));
    yield* (await this.client).kv.rows(range);
  }
}
