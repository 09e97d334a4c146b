import type { Row, Timestamp } from '@synod/protocols';
import { prefixEnd, successor, SynodError } from '@synod/runtime';
import { keyBytes, type Bytes } from './limits';
import type { Routing } from './routing';
import { scanShards, type ScanRange } from './scan';
import type { ShardRouter } from './shard-router';
import type { SnapshotReader } from './snapshot-reader';
import type { TimestampClient } from './timestamp-client';
import type { TransactionClient } from './transaction-client';

export interface ScanOptions {
  /** Keys that begin with it; all by default. Not together with `start` and `end`. */
  readonly prefix?: Bytes;
  /** From this key on. */
  readonly start?: Bytes;
  /** Up to this key, excluded. */
  readonly end?: Bytes;
  /** Continue after this key: the last of the page before. */
  readonly after?: Bytes;
  /** Rows of this page at most; 1,000 by default, 10,000 at most. */
  readonly limit?: number;
  /** The snapshot to read: of the first page, so that all pages show one moment. A new one by default. */
  readonly readTs?: Timestamp;
}

export interface ScanPage {
  /** In unsigned byte order of their keys. */
  readonly rows: readonly Row[];
  readonly more: boolean;
  readonly readTs: Timestamp;
}

const READ_TIMEOUT_US = 10_000_000;
const SCAN_TIMEOUT_US = 30_000_000;
const SCAN_LIMIT_DEFAULT = 1_000;
const SCAN_LIMIT_MAX = 10_000;

/** The sharded store, key by key: linearizable, each call a transaction of its own. */
export class KeyValueClient {
  constructor(
    private readonly parts: {
      readonly routing: Routing;
      readonly router: ShardRouter;
      readonly reader: SnapshotReader;
      readonly timestamps: TimestampClient;
      readonly transactions: TransactionClient;
    },
  ) {}

  /** @returns undefined if the key is absent */
  async get(key: Bytes): Promise<Buffer | undefined> {
    return (await this.getMany([key]))[0];
  }

  /** Several keys at one moment, in order. */
  async getMany(keys: readonly Bytes[]): Promise<(Buffer | undefined)[]> {
    const wanted = keys.map(keyBytes);
    const readTs = await this.parts.timestamps.next();
    const found = await this.parts.reader.read(wanted, readTs, READ_TIMEOUT_US);
    return found.map(({ value }) => value);
  }

  /** @throws {OutcomeUnknownError} if the cluster could not say whether it was done; repeating it does no harm */
  async put(key: Bytes, value: Bytes): Promise<void> {
    await this.parts.transactions.run(async (transaction) => transaction.put(key, value));
  }

  /** Does nothing if the key is absent. @throws {OutcomeUnknownError} as `put` */
  async delete(key: Bytes): Promise<void> {
    await this.parts.transactions.run(async (transaction) => transaction.delete(key));
  }

  /** One page of a range, over all shards, from one snapshot. */
  async scan(options: ScanOptions = {}): Promise<ScanPage> {
    const range = rangeOf(options);
    const limit = options.limit ?? SCAN_LIMIT_DEFAULT;
    if (!Number.isInteger(limit) || limit < 1 || limit > SCAN_LIMIT_MAX) {
      throw new SynodError('invalid-argument', `the limit is ${limit}: 1 to ${SCAN_LIMIT_MAX}`);
    }
    const { shardCount } = await this.parts.routing.ready();
    const readTs = options.readTs ?? (await this.parts.timestamps.next());
    const page = await scanShards(this.parts.router, shardCount, range, { limit, readTs, timeoutUs: SCAN_TIMEOUT_US });
    return { ...page, readTs };
  }

  /** All rows of a range, page after page, from one snapshot. */
  async *rows(options: Omit<ScanOptions, 'limit'> & { readonly pageRows?: number } = {}): AsyncGenerator<Row> {
    const { pageRows, ...range } = options;
    let page = await this.scan({ ...range, ...(pageRows === undefined ? {} : { limit: pageRows }) });
    for (;;) {
      yield* page.rows;
      const last = page.rows.at(-1);
      if (!page.more || last === undefined) return;
      const next = { ...range, after: last.key, readTs: page.readTs };
      page = await this.scan(pageRows === undefined ? next : { ...next, limit: pageRows });
    }
  }
}

/** @throws {SynodError} `invalid-argument` */
function rangeOf({ prefix, start, end, after }: ScanOptions): ScanRange {
  if (prefix !== undefined && (start !== undefined || end !== undefined)) {
    throw new SynodError('invalid-argument', 'a scan takes a prefix, or a start and an end, not both');
  }
  const from = Buffer.from(prefix ?? start ?? '');
  const behind = after === undefined ? from : successor(Buffer.from(after));
  const stop = prefix === undefined ? Buffer.from(end ?? '') : (prefixEnd(Buffer.from(prefix)) ?? Buffer.alloc(0));
  return { start: Buffer.compare(behind, from) > 0 ? behind : from, end: stop };
}
