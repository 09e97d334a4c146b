import {
  compareBytes,
  type Cancel,
  type Connection,
  type Log,
  type Probes,
  type Store,
  type Timers,
  type Transport,
} from '@synod/runtime';
import { chunkChecksum } from './snapshot-chunk';
import { snapshotProtocol } from './snapshot-codec';
import type { SnapshotChunk, SnapshotDescriptor, SnapshotRequest, SnapshotResponse } from './snapshot-messages';

/** Written between two flushes: what a store may hold in memory of a snapshot. */
const FLUSH_BYTES = 4 << 20;
/** A chunk that has not come by then is asked for again, over a new connection. */
const CHUNK_TIMEOUT_US = 5_000_000;
const RETRY_US = 200_000;
/** Attempts without a single chunk; then whoever wants the snapshot begins anew, perhaps elsewhere. */
const FRUITLESS_MAX = 10;

export interface SnapshotFetchOptions {
  readonly ports: {
    readonly transport: Transport;
    readonly timers: Timers;
    readonly log: Log;
    readonly probes: Probes;
  };
  readonly store: Store;
  readonly address: string;
  /** Who asks for what. */
  readonly request: Omit<SnapshotRequest, 'snapshotId' | 'after'>;
  /** Where the state is written to, by itself: empty, and nobody's until the snapshot is complete. */
  readonly prefix: Buffer;
  /** Whether a snapshot is of use: it may have been overtaken. */
  readonly wants: (snapshot: SnapshotDescriptor) => boolean;
  /** The store holds the whole state, though not for good yet. */
  readonly complete: (snapshot: SnapshotDescriptor) => void;
  /** There will be no snapshot from this fetch. What it wrote is left behind. */
  readonly failed: (reason: string) => void;
  /** The store cannot be written. */
  readonly fault: (error: unknown) => void;
}

/**
 * Fetches one snapshot into an empty part of the store: one chunk at a time, so that this end sets the pace and memory stays bounded.
 * A broken connection is taken up again behind the last key that arrived; a crash leaves a part that belongs to nobody.
 */
export class SnapshotFetch {
  private connection: Connection<SnapshotRequest> | undefined;
  private snapshot: SnapshotDescriptor | undefined;
  private after: Buffer = Buffer.alloc(0);
  private unflushedBytes = 0;
  private fruitless = 0;
  private cancelTimer: Cancel = () => undefined;
  private ended = false;

  constructor(private readonly options: SnapshotFetchOptions) {
    this.connect();
  }

  /** Says nothing more, and calls nobody. */
  stop(): void {
    this.ended = true;
    this.cancelTimer();
    this.connection?.close();
  }

  private connect(): void {
    this.options.ports.probes.sometimes(this.snapshot === undefined ? 'snapshot-begun' : 'snapshot-resumed');
    const { transport } = this.options.ports;
    const connection = transport.connect(snapshotProtocol(), this.options.address, {
      receive: (response) => {
        if (this.connection === connection && !this.ended) this.receive(response);
      },
      closed: (reason) => {
        if (this.connection === connection && !this.ended) this.retry(reason);
      },
    });
    this.connection = connection;
    this.ask();
  }

  private ask(): void {
    const { request } = this.options;
    this.connection?.send({ ...request, snapshotId: this.snapshot?.snapshotId ?? '', after: this.after });
    this.wait(CHUNK_TIMEOUT_US, () => this.retry('no chunk came in time'));
  }

  private receive(response: SnapshotResponse): void {
    if (response.kind === 'refused') return this.fail(response.reason);
    if (compareBytes(response.after, this.after) !== 0) return; // Asked for twice.
    if (response.checksum !== chunkChecksum(response.after, response.entries)) {
      return this.retry('a chunk was harmed on its way');
    }
    if (!this.options.wants(response.snapshot)) return this.fail('it is of no use any more');
    this.snapshot ??= response.snapshot;
    if (response.snapshot.snapshotId !== this.snapshot.snapshotId) return this.fail('it became another one');
    this.fruitless = 0;
    this.write(response);
    if (response.last) {
      this.stop();
      this.options.complete(this.snapshot);
    } else if (this.unflushedBytes < FLUSH_BYTES) this.ask();
    else this.flushThenAsk();
  }

  private write({ entries }: SnapshotChunk): void {
    const { store, prefix } = this.options;
    store.transaction((transaction) => {
      for (const { key, value } of entries) {
        transaction.put(Buffer.concat([prefix, key]), value);
        this.unflushedBytes += key.length + value.length;
      }
    });
    this.after = entries.at(-1)?.key ?? this.after;
  }

  private flushThenAsk(): void {
    this.cancelTimer();
    this.unflushedBytes = 0;
    this.options.store.flush().then(
      () => {
        if (!this.ended) this.ask();
      },
      (error: unknown) => this.options.fault(error),
    );
  }

  private retry(reason: string): void {
    const { connection } = this;
    this.connection = undefined;
    connection?.close();
    if (++this.fruitless > FRUITLESS_MAX) return this.fail(reason);
    this.wait(RETRY_US, () => this.connect());
  }

  private fail(reason: string): void {
    this.stop();
    this.options.failed(reason);
  }

  private wait(us: number, then: () => void): void {
    this.cancelTimer();
    this.cancelTimer = this.options.ports.timers.after(us, then);
  }
}
