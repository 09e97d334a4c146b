import { mkdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { required, type mapreduceV1 } from '@synod/contracts';
import type { AttemptId } from '@synod/mapreduce';
import {
  SynodError,
  type Cancel,
  type Connection,
  type Log,
  type Random,
  type Timers,
  type Transport,
} from '@synod/runtime';
import type { BundleCache } from './bundle-cache';
import type { AttemptEnd, ExecutorPool } from './executor-pool';
import type { MapOutputs } from './map-outputs';
import { mapOrder, reduceOrder } from './orders-from-master';
import { workerSessionProtocol, type MasterMessage, type WorkerMessage } from './session-protocol';

export interface MasterSessionParts {
  readonly transport: Transport;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  readonly pool: ExecutorPool;
  readonly outputs: MapOutputs;
  readonly bundles: BundleCache;
  /** Holds a folder for each attempt that runs or has an output; empty when the process starts. */
  readonly scratch: string;
}

export interface WorkerIdentity {
  readonly nodeId: string;
  /** Where reducers fetch. */
  readonly address: string;
  readonly slots: number;
}

/** As for every connection between nodes: longer turns a blip into an outage. */
const RECONNECT_MIN_US = 50_000;
const RECONNECT_MAX_US = 250_000;
/** Until the master says. */
const HEARTBEAT_MS = 500;

/**
 * This worker's session with one master. Whenever it breaks, everything done in it is given up: the master has given up this worker
 * too, and the next session begins as a new worker's.
 */
export class MasterSession {
  private connection: Connection<WorkerMessage> | undefined;
  private cancelTimer: Cancel = () => undefined;
  private heartbeatMs = HEARTBEAT_MS;
  /** Attempts of this session that run or hold an output; an attempt that is not here is answered for no more. */
  private readonly attempts = new Set<AttemptId>();
  private stopped = false;

  constructor(
    private readonly parts: MasterSessionParts,
    private readonly identity: WorkerIdentity,
    /** Address of the master. */
    readonly master: string,
  ) {}

  get connected(): boolean {
    return this.connection !== undefined;
  }

  start(): void {
    if (this.stopped) return;
    this.connection = this.parts.transport.connect(workerSessionProtocol(), this.master, {
      receive: (message) => this.receive(message),
      closed: (reason) => this.broken(reason),
    });
    this.say({ register: { ...this.identity } });
    this.heartbeat();
  }

  stop(): void {
    this.stopped = true;
    this.connection?.close();
    this.abandon();
  }

  private receive(message: MasterMessage): void {
    switch (message.body) {
      case 'welcome':
        this.heartbeatMs = required(message.welcome, 'welcome').heartbeatMs;
        this.parts.log.info('a session with a master began', {
          master: this.master,
          session: message.welcome?.session,
        });
        return;
      case 'runMap':
        return this.accept(required(message.runMap, 'run_map'));
      case 'runReduce':
        return this.accept(required(message.runReduce, 'run_reduce'));
      case 'stop':
        return this.halt(required(message.stop, 'stop').attempt);
      case 'discard':
        return this.drop(required(message.discard, 'discard').attempt);
      case 'forgetJob': {
        const { jobId } = required(message.forgetJob, 'forget_job');
        for (const attempt of [...this.attempts]) if (attempt.startsWith(`${jobId}-`)) this.drop(attempt);
        return;
      }
      case undefined:
        this.parts.log.warn('the master said what this release does not know', { master: this.master });
    }
  }

  private accept(task: mapreduceV1.RunMap__Output | mapreduceV1.RunReduce__Output): void {
    this.attempts.add(task.attempt);
    void this.run(task).catch((error: unknown) => {
      // No room for scratch files, or no bundle: another worker may do better. Anything else is a bug, and ends the process.
      if (!(error instanceof SynodError) && !isSystemError(error)) throw error;
      this.answer(task.attempt, { kind: 'failed', reason: error.message, fatal: false });
    });
  }

  private async run(task: mapreduceV1.RunMap__Output | mapreduceV1.RunReduce__Output): Promise<void> {
    const program = required(task.program, 'program');
    const bundle =
      program.program === 'bundleSha256'
        ? await this.parts.bundles.path(required(program.bundleSha256, 'bundle_sha256'), this.master)
        : undefined;
    if (!this.attempts.has(task.attempt)) return; // Given up while the bundle was fetched.
    const scratch = this.scratchOf(task.attempt);
    mkdirSync(scratch);
    const order = 'partition' in task ? reduceOrder(task, bundle, scratch) : mapOrder(task, bundle, scratch);
    const end = await this.parts.pool.run(order);
    if (!this.attempts.has(task.attempt)) return;
    // Held before it is announced: a reducer may ask at once.
    if (end.kind === 'map-finished' && order.kind === 'map') {
      this.parts.outputs.add(task.attempt, { path: order.runFile, offsets: end.offsets });
    }
    this.answer(task.attempt, end);
  }

  private answer(attempt: AttemptId, end: AttemptEnd): void {
    if (!this.attempts.has(attempt)) return;
    if (end.kind !== 'map-finished') this.drop(attempt);
    this.say(messageOf(attempt, end));
  }

  /** As the master asked; an attempt that ended before has said so already. */
  private halt(attempt: AttemptId): void {
    if (!this.attempts.has(attempt) || this.parts.outputs.find(attempt) !== undefined) return;
    this.drop(attempt);
    this.say(messageOf(attempt, { kind: 'stopped' }));
  }

  /** Ends the attempt, if it runs, and removes all it left. */
  private drop(attempt: AttemptId): void {
    this.attempts.delete(attempt);
    this.parts.pool.stop(attempt);
    this.parts.outputs.drop(attempt);
    const scratch = this.scratchOf(attempt);
    rm(scratch, { recursive: true, force: true, maxRetries: 3 }).catch((error: unknown) => {
      // A killed executor may have been writing; the next start of this worker empties the whole folder.
      this.parts.log.warn('scratch files could not be removed', { scratch, error: String(error) });
    });
  }

  private scratchOf(attempt: AttemptId): string {
    return path.join(this.parts.scratch, attempt);
  }

  private say(message: WorkerMessage): void {
    if (this.connection?.send(message) !== false) return;
    // A word that cannot be said would leave the master waiting: the end of the session tells it everything.
    this.parts.log.warn('the master does not listen', { master: this.master });
    this.connection.close();
    this.broken('its queue is full');
  }

  private heartbeat(): void {
    this.cancelTimer = this.parts.timers.after(this.heartbeatMs * 1_000, () => {
      const progress = this.parts.pool.progress().filter(({ attempt }) => this.attempts.has(attempt));
      this.say({ heartbeat: { progress } });
      if (this.connection !== undefined) this.heartbeat();
    });
  }

  private broken(reason: string): void {
    if (this.connection === undefined) return;
    this.connection = undefined;
    this.cancelTimer();
    this.abandon();
    if (this.stopped) return;
    this.parts.log.debug('no session with a master', { master: this.master, reason });
    const delay = RECONNECT_MIN_US + this.parts.random.below(RECONNECT_MAX_US - RECONNECT_MIN_US);
    this.cancelTimer = this.parts.timers.after(delay, () => this.start());
  }

  private abandon(): void {
    for (const attempt of [...this.attempts]) this.drop(attempt);
  }
}

function messageOf(attempt: AttemptId, end: AttemptEnd): WorkerMessage {
  switch (end.kind) {
    case 'map-finished': {
      const outputBytes = end.offsets.slice(1).map((offset, partition) => offset - (end.offsets[partition] as number));
      return { attemptFinished: { attempt, counters: end.counters, outputBytes } };
    }
    case 'reduce-finished':
      return { attemptFinished: { attempt, counters: end.counters, outputBytes: [end.bytes] } };
    case 'failed':
      return { attemptFailed: { attempt, reason: end.reason, fatal: end.fatal } };
    case 'fetch-failed':
      return { fetchFailed: { attempt, sources: [...end.sources], reason: end.reason } };
    case 'stopped':
      return { attemptStopped: { attempt } };
  }
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error;
}
