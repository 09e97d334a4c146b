import { invariant } from '@synod/invariant';
import { SynodError, type Cancel, type Clock, type Log, type Random, type Timers } from '@synod/runtime';
import { oracleCodec, oracleKey, type OracleRecord } from './metadata';
import type { Coordination, CoordinationEntry } from './port';

/** The low bits of a timestamp, which count within a millisecond: `physical_ms << 18 | logical`. */
export const LOGICAL_BITS = 18n;

/** Timestamps that one request may ask for. */
export const TIMESTAMPS_MAX = 1 << Number(LOGICAL_BITS);

/** `first` and the `count − 1` after it. */
export interface TimestampRange {
  readonly first: bigint;
  readonly count: number;
}

export interface OracleOptions {
  /** How far ahead of what is handed out the bound is logged. A holder that dies costs its successor at most this jump. */
  readonly windowMs: number;
  /** Requests that wait for a confirmation; one more is refused as `overloaded`. */
  readonly waitingMax: number;
}

export const ORACLE_DEFAULTS: OracleOptions = { windowMs: 3_000, waitingMax: 16_384 };

/** Before a takeover is tried again. */
const RETAKE_MIN_US = 100_000;
const RETAKE_SPREAD_US = 200_000;
/** Timestamps this far ahead of the wall clock are worth an operator's look. */
const SKEW_WARN_MS = 5_000;

interface Request {
  readonly count: number;
  readonly resolve: (range: TimestampRange) => void;
  readonly reject: (error: SynodError) => void;
}

/** One tenure of this process as the holder. */
interface Tenure {
  readonly holder: string;
  readonly startedUs: number;
  readonly startedWallMs: number;
  /** Every timestamp handed out is below it. Invariant `below-logged-bound`. */
  bound: bigint;
  /** Of the write that logged `bound`. */
  modRevision: bigint;
  /** The last one handed out; at first the bound of earlier holders. Invariant `timestamps-strictly-increase`. */
  last: bigint;
}

/**
 * Hands out timestamps that are unique and increase for good, whoever the holder is: a library over the coordination store, hosted
 * by the leader of the consensus service. The same idea as TSO in Peng and Dabek, "Large-scale Incremental Processing Using
 * Distributed Transactions and Notifications" (OSDI 2010, §2.3): a bound is logged ahead, and timestamps below it are handed out from memory.
 *
 * Differs from it: being the holder is proven again for every batch, by a read or a compare-and-set that began after the batch
 * arrived. So an answer is above everything that any holder answered before its request was sent, with no trust in clocks.
 */
export class TimestampOracle {
  private tenure: Tenure | undefined;
  private waiting: Request[] = [];
  private serving = false;
  /** Counts starts and stops, so that what an earlier one left in flight does nothing. */
  private run = 0;
  private started = false;
  private cancelRetake: Cancel = () => undefined;

  constructor(
    private readonly ports: {
      readonly coordination: Coordination;
      readonly clock: Clock;
      readonly timers: Timers;
      readonly random: Random;
      readonly log: Log;
    },
    private readonly options: OracleOptions = ORACLE_DEFAULTS,
  ) {}

  /** Whether this process believes to be the holder. Proves nothing. */
  get holds(): boolean {
    return this.tenure !== undefined;
  }

  /** Takes over, trying until it succeeds or `stop` is called. */
  start(): void {
    if (this.started) return;
    this.started = true;
    this.run++;
    this.retakeAfter(0);
  }

  /** Hands out nothing more; a later `start` is a new tenure. */
  stop(): void {
    this.started = false;
    this.run++;
    this.cancelRetake();
    this.lose('this member stopped hosting the timestamp oracle');
  }

  /**
   * @param count 1 to `TIMESTAMPS_MAX`
   * @throws {SynodError} `not-leader` if another process is, or may be, the holder; `unavailable`, `overloaded`
   */
  timestamps(count: number): Promise<TimestampRange> {
    if (!Number.isInteger(count) || count < 1 || count > TIMESTAMPS_MAX) {
      return refuse('invalid-argument', `a request is for 1 to ${TIMESTAMPS_MAX} timestamps, not ${count}`);
    }
    if (this.tenure === undefined) return refuse('not-leader', 'this member does not hold the timestamp oracle');
    if (this.waiting.length >= this.options.waitingMax) {
      return refuse('overloaded', `${this.options.waitingMax} requests for timestamps are waiting; back off`);
    }
    const answer = new Promise<TimestampRange>((resolve, reject) => this.waiting.push({ count, resolve, reject }));
    this.serveLater();
    return answer;
  }

  private serveLater(): void {
    if (this.serving) return;
    this.serving = true;
    // In the next turn: everything that arrives in this one shares a confirmation.
    this.ports.timers.after(0, () => void this.serve());
  }

  /** One batch: what waits now is answered after a confirmation that begins now. What arrives meanwhile is the next batch. */
  private async serve(): Promise<void> {
    const batch = this.waiting;
    this.waiting = [];
    const { tenure } = this;
    try {
      if (tenure === undefined) throw new SynodError('not-leader', 'the timestamp oracle was taken over');
      let first = await this.confirm(tenure, total(batch));
      for (const request of batch) {
        request.resolve(allot(tenure, first, request.count));
        first += BigInt(request.count);
      }
    } catch (error) {
      const failure = asSynodError(error);
      for (const request of batch) request.reject(failure);
    } finally {
      this.serving = false;
      if (this.waiting.length > 0) this.serveLater();
    }
  }

  /** Proves that the tenure still holds. @returns the first of `count` timestamps that fit below its bound */
  private async confirm(tenure: Tenure, count: number): Promise<bigint> {
    while (this.tenure === tenure) {
      const record =
        tenure.bound - this.next(tenure) <= BigInt(count) + this.windowSize() / 2n
          ? await this.extend(tenure, count)
          : await this.read(tenure);
      if (this.tenure !== tenure) break;
      if (record.holder !== tenure.holder) {
        this.lose(`the timestamp oracle was taken over by ${record.holder}`);
        break;
      }
      const first = this.next(tenure);
      if (first + BigInt(count) <= tenure.bound) return first;
    }
    throw new SynodError('not-leader', 'the timestamp oracle was taken over');
  }

  private async read(tenure: Tenure): Promise<OracleRecord> {
    const { entries } = await this.ports.coordination.range(oracleKey());
    return this.noteRecord(tenure, entries[0]);
  }

  /** Logs a higher bound, if nobody wrote the record since this tenure did. Success proves the tenure as a read would. */
  private async extend(tenure: Tenure, count: number): Promise<OracleRecord> {
    const key = oracleKey();
    const record: OracleRecord = {
      holder: tenure.holder,
      bound: this.next(tenure) + BigInt(count) + this.windowSize(),
    };
    try {
      const result = await this.ports.coordination.transaction({
        compare: [{ key, target: 'mod-revision', equals: tenure.modRevision }],
        success: [{ kind: 'put', key, value: oracleCodec.encode(record) }],
        failure: [{ kind: 'range', key }],
      });
      if (!result.succeeded) return this.noteRecord(tenure, result.ranges[0]?.[0]);
      tenure.bound = record.bound;
      tenure.modRevision = result.revision;
      return record;
    } catch (error) {
      if (!(error instanceof SynodError) || error.kind !== 'outcome-unknown') throw error;
      // It may be logged or not: the record itself says.
      return this.read(tenure);
    }
  }

  /** What the store shows. If it is ours, its bound is one that this tenure wrote, perhaps without hearing so. */
  private noteRecord(tenure: Tenure, entry: CoordinationEntry | undefined): OracleRecord {
    if (entry === undefined) return { holder: 'nobody: the record was deleted', bound: 0n };
    const record = oracleCodec.decode(entry);
    if (record.holder === tenure.holder && entry.modRevision > tenure.modRevision) {
      tenure.bound = record.bound;
      tenure.modRevision = entry.modRevision;
    }
    return record;
  }

  /** The lowest timestamp that may be handed out now: above the last one, and not behind the time that has passed. */
  private next(tenure: Tenure): bigint {
    const elapsedMs = Math.floor((this.ports.clock.monotonicUs() - tenure.startedUs) / 1_000);
    // The wall clock is read once a tenure: its later jumps do not show. Where the base was ahead of it, time catches up.
    const physical = BigInt(tenure.startedWallMs + elapsedMs) << LOGICAL_BITS;
    return physical > tenure.last ? physical : tenure.last + 1n;
  }

  private windowSize(): bigint {
    return BigInt(this.options.windowMs) << LOGICAL_BITS;
  }

  private retakeAfter(delayUs: number): void {
    const { run } = this;
    this.cancelRetake();
    this.cancelRetake = this.ports.timers.after(delayUs, () => void this.takeOver(run));
  }

  /** Becomes the holder, under a name never used before, with timestamps above the bound that the record has. */
  private async takeOver(run: number): Promise<void> {
    const { coordination, clock, random, log } = this.ports;
    const key = oracleKey();
    try {
      const { entries } = await coordination.range(key);
      if (this.run !== run) return;
      const entry = entries[0];
      const oldBound = entry === undefined ? 0n : oracleCodec.decode(entry).bound;
      const startedWallMs = clock.wallMs();
      const wall = BigInt(startedWallMs) << LOGICAL_BITS;
      const base = oldBound > wall ? oldBound : wall;
      const record: OracleRecord = { holder: random.bytes(12).toString('hex'), bound: base + this.windowSize() };
      const startedUs = clock.monotonicUs();
      const result = await coordination.transaction({
        compare: [{ key, target: 'mod-revision', equals: entry?.modRevision ?? 0n }],
        success: [{ kind: 'put', key, value: oracleCodec.encode(record) }],
        failure: [],
      });
      if (this.run !== run) return;
      if (!result.succeeded) return this.retake();
      const skewMs = Number((base - wall) >> LOGICAL_BITS);
      if (skewMs > SKEW_WARN_MS) log.warn('timestamps run ahead of the wall clock; check its setting', { skewMs });
      const { revision: modRevision } = result;
      this.tenure = { ...record, startedUs, startedWallMs, modRevision, last: base };
      log.info('took over the timestamp oracle', { holder: record.holder, base });
    } catch (error) {
      if (this.run !== run) return;
      log.warn('could not take over the timestamp oracle; trying again', { reason: asSynodError(error).message });
      this.retake();
    }
  }

  private retake(): void {
    this.retakeAfter(RETAKE_MIN_US + this.ports.random.below(RETAKE_SPREAD_US));
  }

  private lose(reason: string): void {
    if (this.tenure !== undefined) this.ports.log.info('lost the timestamp oracle', { reason });
    this.tenure = undefined;
    const waiting = this.waiting;
    this.waiting = [];
    for (const request of waiting) request.reject(new SynodError('not-leader', reason));
    if (this.started) this.retake();
  }
}

/** A loss of the tenure since the confirmation changes nothing: what a later holder hands out is above this tenure's bound. */
function allot(tenure: Tenure, first: bigint, count: number): TimestampRange {
  const last = first + BigInt(count) - 1n;
  invariant(first > tenure.last, 'timestamps-strictly-increase', () => `${first} after ${tenure.last}`);
  invariant(last < tenure.bound, 'below-logged-bound', () => `${last} at or above ${tenure.bound}`);
  tenure.last = last;
  return { first, count };
}

function total(batch: readonly Request[]): number {
  return batch.reduce((sum, request) => sum + request.count, 0);
}

/** A confirmation that failed answered nobody, so no outcome is unknown to the asker. */
function asSynodError(error: unknown): SynodError {
  if (!(error instanceof SynodError)) throw error;
  if (error.kind === 'not-leader') return error;
  return new SynodError('unavailable', `the timestamp oracle could not confirm that it holds: ${error.message}`, {
    cause: error,
  });
}

function refuse(kind: 'invalid-argument' | 'not-leader' | 'overloaded', message: string): Promise<never> {
  return Promise.reject(new SynodError(kind, message));
}
