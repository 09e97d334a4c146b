import type { AttemptId } from '@synod/mapreduce';
import { SynodError } from '@synod/runtime';
import type { FetchedRuns } from './fetched-runs';
import type { SourceOrder } from './orders';

/** A piece of a partition as a worker's shuffle serves it. */
export interface FetchedPiece {
  /** Which of the sources asked for. */
  readonly index: number;
  readonly data: Uint8Array;
  readonly last: boolean;
  readonly missing: boolean;
}

/** How a reducer reaches the shuffle of a worker. */
export interface ShuffleClient {
  /**
   * The partition of each source from its offset on, in order. Ends after the last; throws a `SynodError` when the stream breaks,
   * stands still, or `signal` says that nobody wants it any more.
   */
  fetch(
    address: string,
    request: {
      readonly partition: number;
      readonly sources: readonly { readonly attempt: AttemptId; readonly offset: number }[];
    },
    signal: AbortSignal,
  ): AsyncIterable<FetchedPiece>;
}

/** Some map outputs could not be had; the reduce attempt is over. */
export class FetchFailedError extends Error {
  constructor(
    readonly sources: readonly AttemptId[],
    reason: string,
  ) {
    super(reason);
    this.name = 'FetchFailedError';
  }
}

/** Failures in a row, at one worker, that end the reduce attempt. */
const FAILURES_MAX = 3;
/** Between tries; a blip of the network must pass meanwhile. */
const RETRY_MS = 150;
/** Workers fetched from at once. */
const WORKERS_AT_ONCE = 5;
/** Outputs asked for in one request. */
const SOURCES_PER_REQUEST = 500;

export interface FetchOptions {
  readonly shuffle: ShuffleClient;
  readonly runs: FetchedRuns;
  readonly progress: (bytes: number) => void;
  readonly pause: (ms: number) => Promise<void>;
}

/**
 * Fetches a partition of every source into `runs`. Resumes a broken stream where it stopped; fetches a run with a wrong checksum
 * again.
 * @returns how many bytes it fetched
 * @throws {FetchFailedError} naming what could not be had from a worker in three tries in a row
 */
export async function fetchOutputs(
  partition: number,
  sources: readonly SourceOrder[],
  options: FetchOptions,
): Promise<number> {
  let bytes = 0;
  const abort = new AbortController();
  const fetched = (count: number): void => options.progress((bytes += count));
  const queue = sources.map((source) => new WorkerFetch(partition, source, options, abort.signal, fetched));
  let failure: unknown;
  const drain = async (): Promise<void> => {
    try {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) await next.run();
    } catch (error) {
      failure ??= error;
      queue.length = 0;
      abort.abort(); // The others end too, so that nothing of this attempt goes on behind the next one's back.
    }
  };
  await Promise.all(Array.from({ length: WORKERS_AT_ONCE }, drain));
  if (failure !== undefined) throw failure as Error;
  return bytes;
}

/** Everything wanted from one worker. */
class WorkerFetch {
  private readonly wanted: AttemptId[];
  /** What has arrived of the outputs that are not complete. */
  private readonly partial = new Map<AttemptId, { pieces: Uint8Array[]; bytes: number }>();
  private failures = 0;
  private damaged: AttemptId | undefined;

  constructor(
    private readonly partition: number,
    private readonly source: SourceOrder,
    private readonly options: FetchOptions,
    private readonly signal: AbortSignal,
    private readonly fetched: (bytes: number) => void,
  ) {
    this.wanted = [...source.attempts];
  }

  async run(): Promise<void> {
    while (this.wanted.length > 0) {
      try {
        await this.request(this.wanted.slice(0, SOURCES_PER_REQUEST));
      } catch (error) {
        if (!(error instanceof SynodError)) throw error;
        if (++this.failures >= FAILURES_MAX || this.signal.aborted) {
          throw new FetchFailedError(this.lost(error), `worker ${this.source.address}: ${error.message}`);
        }
        await this.options.pause(RETRY_MS);
      }
    }
  }

  /** What cannot be had: the one that keeps arriving damaged, or everything of a worker that does not answer. */
  private lost(error: SynodError): AttemptId[] {
    return error.kind === 'corrupt' && this.damaged !== undefined ? [this.damaged] : [...this.wanted];
  }

  private async request(attempts: readonly AttemptId[]): Promise<void> {
    const sources = attempts.map((attempt) => ({ attempt, offset: this.partial.get(attempt)?.bytes ?? 0 }));
    const before = this.wanted.length;
    const request = { partition: this.partition, sources };
    for await (const piece of this.options.shuffle.fetch(this.source.address, request, this.signal)) {
      const attempt = attempts[piece.index];
      if (attempt === undefined) throw new SynodError('corrupt', 'the shuffle answered with a source not asked for');
      if (piece.missing)
        throw new FetchFailedError([attempt], `worker ${this.source.address} does not hold ${attempt}`);
      const partial = this.partial.get(attempt) ?? { pieces: [], bytes: 0 };
      this.partial.set(attempt, partial);
      partial.pieces.push(piece.data);
      partial.bytes += piece.data.length;
      this.fetched(piece.data.length);
      if (piece.last) this.complete(attempt, Buffer.concat(partial.pieces));
    }
    if (this.wanted.length === before)
      throw new SynodError('unavailable', 'the stream ended before anything was complete');
  }

  private complete(attempt: AttemptId, run: Buffer): void {
    this.partial.delete(attempt); // If it is damaged it is fetched from its beginning.
    this.damaged = attempt;
    this.options.runs.add(run, `${attempt} from ${this.source.address}`);
    this.damaged = undefined;
    this.wanted.splice(this.wanted.indexOf(attempt), 1);
    this.failures = 0;
  }
}
