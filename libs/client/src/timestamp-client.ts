import { oracleProtocol, type Timestamp, type TimestampRequest, type TimestampResponse } from '@synod/protocols';
import { SynodError, type Cancel } from '@synod/runtime';
import type { ClientPorts } from './ports';
import { Seeker, type Target } from './seeker';

/** What the oracle gives out at once. */
const BATCH_MAX = 1 << 18;
/** For a waiter, over all tries: longer than the election of a new leader takes. */
const TIMEOUT_US = 10_000_000;
/** Confirming leadership is one round among the members; a member that takes longer is cut off. */
const TRY_TIMEOUT_US = 1_000_000;

interface Waiter {
  readonly count: number;
  readonly resolve: (first: Timestamp) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Timestamps from the oracle, for everybody on this node: one request at a time carries all that wait (the batching client of TiKV's
 * placement driver).
 *
 * Invariant `timestamps-follow-their-request`: a caller is served only by a request sent after it called, so its timestamp is above
 * every one that anybody had received before.
 */
export class TimestampClient {
  private readonly seeker: Seeker<TimestampRequest, TimestampResponse>;
  private readonly oracle: Target;
  private waiting: Waiter[] = [];
  private asking = false;
  private cancelFlush: Cancel | undefined;

  /** @param endpoints addresses of the coordination service's members, in any order */
  constructor(
    private readonly ports: ClientPorts,
    endpoints: () => readonly string[],
  ) {
    this.seeker = new Seeker<TimestampRequest, TimestampResponse>(ports, oracleProtocol());
    this.oracle = { name: 'the timestamp oracle', candidates: endpoints, leader: undefined };
  }

  /**
   * @param count how many timestamps in a row, 1 to 2^18; they are the caller's alone
   * @returns the first of them
   * @throws {SynodError} `unavailable`: none was received
   */
  next(count = 1): Promise<Timestamp> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ count, resolve, reject });
      this.flushSoon();
    });
  }

  close(): void {
    this.cancelFlush?.();
    this.seeker.close();
    for (const waiter of this.waiting.splice(0)) waiter.reject(new SynodError('unavailable', 'the client is closed'));
  }

  /** At the end of the turn, so that everything that asked in it shares a request. */
  private flushSoon(): void {
    if (this.asking || this.cancelFlush !== undefined) return;
    this.cancelFlush = this.ports.timers.after(0, () => {
      this.cancelFlush = undefined;
      void this.flush();
    });
  }

  private async flush(): Promise<void> {
    const batch = this.takeBatch();
    if (batch.length === 0) return;
    this.asking = true;
    try {
      await this.serve(batch);
    } finally {
      this.asking = false;
      if (this.waiting.length > 0) this.flushSoon();
    }
  }

  private takeBatch(): Waiter[] {
    let count = 0;
    const fits = this.waiting.findIndex((waiter, index) => {
      count += waiter.count;
      return count > BATCH_MAX && index > 0;
    });
    return this.waiting.splice(0, fits < 0 ? this.waiting.length : fits);
  }

  private async serve(batch: readonly Waiter[]): Promise<void> {
    const count = batch.reduce((sum, waiter) => sum + waiter.count, 0);
    try {
      const options = { timeoutUs: TIMEOUT_US, tryTimeoutUs: TRY_TIMEOUT_US, resend: true };
      const answer = await this.seeker.ask(this.oracle, { kind: 'timestamps', count }, options);
      let next = answer.first;
      for (const waiter of batch) {
        waiter.resolve(next);
        next += BigInt(waiter.count);
      }
    } catch (error) {
      const failure = unavailable(error);
      for (const waiter of batch) waiter.reject(failure);
    }
  }
}

/** A timestamp that was issued and lost does no harm: to whoever waited, nothing happened. */
function unavailable(error: unknown): unknown {
  if (!(error instanceof SynodError) || error.kind !== 'outcome-unknown') return error;
  return new SynodError('unavailable', error.message, { cause: error });
}
