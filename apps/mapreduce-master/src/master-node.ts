import { required } from '@synod/contracts';
import { unreachable } from '@synod/invariant';
import type { AttemptId, JobId, SchedulerEffect, SchedulerEvent, WorkerId } from '@synod/mapreduce';
import {
  SynodError,
  type Cancel,
  type Clock,
  type Connection,
  type ConnectionHandler,
  type ErrorKind,
  type Log,
  type Random,
  type Timers,
} from '@synod/runtime';
import { planInput, type SnapshotStore } from './input-plan';
import { Job } from './job';
import type { JobSpec } from './job-spec';
import { OutputFolder } from './output-folder';
import type { MasterMessage, WorkerMessage } from './session-protocol';
import { runMap, runReduce } from './task-messages';
import { WorkerSession } from './worker-session';

export interface MasterTimes {
  readonly heartbeatMs: number;
  /** A worker that is not heard for so long is given up. A dead one is noticed at once, by its broken stream. */
  readonly sessionTimeoutMs: number;
}

export interface MasterParts {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  readonly store: SnapshotStore;
  /** Folder of this master's own, for what must survive its death. */
  readonly notes: string;
  readonly times: MasterTimes;
  /** Told of an error that is a bug: the process must end. */
  readonly fault: (error: unknown) => void;
}

/** How often sessions are looked at for time-outs. */
const WATCH_US = 500_000;
/** A look that comes this late means that this process stood still, not the workers. */
const STALL_US = 1_000_000;
/** Jobs that run at once; one more is refused. */
const RUNNING_MAX = 64;
/** Ended jobs that are still told about. */
const ENDED_MAX = 100;

/**
 * The master: holds a scheduler for each job, hands free slots of workers to jobs in order of their submission, and gives a job's parts
 * their names when all are done. Source: Dean & Ghemawat, "MapReduce", OSDI 2004, §3.1 and §3.2.
 */
export class MasterNode {
  private readonly jobs = new Map<JobId, Job>();
  private readonly submitted = new Map<string, Promise<Job>>();
  private readonly sessions = new Map<WorkerId, WorkerSession>();
  private sessionCount = 0;
  private dispatching = false;
  private cancelWatch: Cancel = () => undefined;
  private stopping = false;

  constructor(private readonly parts: MasterParts) {
    this.watch(parts.clock.monotonicUs());
  }

  // What clients ask.

  /**
   * Starts a job. The same request id gives the same job.
   * @throws {SynodError} `already-exists` if the output is taken; `overloaded`; `unavailable` if the store does not answer
   */
  submit(requestId: string, spec: JobSpec): Promise<Job> {
    const known = this.submitted.get(requestId);
    if (known !== undefined) return known;
    const job = this.start(spec);
    if (requestId !== '') {
      this.submitted.set(requestId, job);
      // A refused job may be asked for again.
      job.catch(() => this.submitted.delete(requestId));
    }
    return job;
  }

  /** @throws {SynodError} `not-found` */
  find(id: JobId): Job {
    const job = this.jobs.get(id);
    if (job !== undefined) return job;
    throw new SynodError('not-found', `this master has no job ${JSON.stringify(id)}; it forgets jobs when it restarts`);
  }

  /** Oldest first. */
  all(): readonly Job[] {
    return [...this.jobs.values()];
  }

  cancel(job: Job): void {
    const reason = 'cancelled by a client';
    if (job.scheduler !== undefined) this.tell(job, { kind: 'cancel', reason });
    else this.end(job, { kind: 'cancelled', reason });
  }

  /** The bundle of a running user program. @throws {SynodError} `not-found` */
  bundle(sha256: Buffer): Buffer {
    for (const { spec, outcome } of this.jobs.values()) {
      if (outcome === undefined && spec.program.kind === 'user' && spec.program.sha256.equals(sha256))
        return spec.program.bundle;
    }
    throw new SynodError('not-found', `no running job has the bundle ${sha256.toString('hex')}`);
  }

  workers(): readonly WorkerSession[] {
    return [...this.sessions.values()];
  }

  worker(id: WorkerId): WorkerSession | undefined {
    return this.sessions.get(id);
  }

  /** Ends every job, so that nothing of them stays behind. */
  async stop(): Promise<void> {
    this.stopping = true;
    this.cancelWatch();
    const running = this.all().filter(({ outcome }) => outcome === undefined);
    for (const job of running) this.end(job, { kind: 'failed', reason: 'the master is stopping' }, 'unavailable');
    await Promise.all(running.map((job) => this.release(job)));
    for (const session of this.sessions.values()) session.close();
    this.sessions.clear();
  }

  private async start(spec: JobSpec): Promise<Job> {
    const running = this.all().filter(({ outcome }) => outcome === undefined);
    if (this.stopping) throw new SynodError('unavailable', 'this master is stopping; use another one');
    if (running.length >= RUNNING_MAX)
      throw new SynodError('overloaded', `${RUNNING_MAX} jobs are running; try again later`);
    const rival = running.find((job) => job.output.folder === spec.output);
    if (rival !== undefined) {
      throw new SynodError('already-exists', `job ${rival.id} is writing ${spec.output}; choose another output`);
    }
    const id = this.newJobId(spec);
    // Before anything else, so that everything acknowledged before the submission is in the snapshot, and little of what comes after.
    const readTs = spec.input.kind === 'store' ? await this.parts.store.openSnapshot() : undefined;
    const output = await OutputFolder.claim(spec.output, id, this.parts.notes);
    const job = new Job(id, spec, output, readTs, this.parts.clock.monotonicUs());
    this.jobs.set(id, job);
    this.parts.log.info('a job was submitted', { job: id, output: spec.output });
    void this.plan(job);
    return job;
  }

  private async plan(job: Job): Promise<void> {
    try {
      const plan = await planInput(job.spec, this.parts.store, job.readTs);
      job.planned(plan);
      this.parts.log.info('a job was planned', { job: job.id, splits: plan.splits.length, bytes: plan.bytes });
      this.dispatchSoon();
    } catch (error) {
      this.fail(job, error);
    }
  }

  private newJobId(spec: JobSpec): JobId {
    const name = spec.program.name
      .toLowerCase()
      .replace(/\.[a-z]+$/, '')
      .replace(/[^a-z0-9]/g, '')
      .slice(0, 20);
    return `${name === '' ? 'job' : name}-${this.parts.random.bytes(5).toString('hex')}`;
  }

  // What workers say.

  /** A worker dialled. */
  accept(connection: Connection<MasterMessage>): ConnectionHandler<WorkerMessage> {
    let session: WorkerSession | undefined;
    return {
      receive: (message) => {
        if (message.body === 'register') session ??= this.register(connection, required(message.register, 'register'));
        else if (session !== undefined) this.heard(session, message);
        else connection.close();
      },
      closed: (reason) => {
        if (session !== undefined) this.lose(session, reason);
      },
    };
  }

  private register(
    connection: Connection<MasterMessage>,
    { nodeId, address, slots }: { nodeId: string; address: string; slots: number },
  ): WorkerSession {
    // The worker knows that its earlier session is over, or it would not have come back.
    for (const earlier of this.sessions.values())
      if (earlier.nodeId === nodeId) this.lose(earlier, 'it registered anew');
    const id = `${nodeId}#${++this.sessionCount}`;
    const session = new WorkerSession(id, nodeId, address, slots, connection, this.parts.clock.monotonicUs());
    this.sessions.set(id, session);
    const { heartbeatMs, sessionTimeoutMs } = this.parts.times;
    this.say(session, { welcome: { session: id, heartbeatMs, sessionTimeoutMs } });
    this.parts.log.info('a worker joined', { worker: nodeId, session: id, slots });
    this.dispatchSoon();
    return session;
  }

  private heard(session: WorkerSession, message: WorkerMessage): void {
    if (!this.sessions.has(session.id)) return; // Given up: its stream is being closed.
    session.heardUs = this.parts.clock.monotonicUs();
    const worker = session.id;
    switch (message.body) {
      case 'attemptFinished': {
        const { attempt, counters, outputBytes } = required(message.attemptFinished, 'attempt_finished');
        const result = { counters: numbers(counters), outputBytes: outputBytes.map(Number) };
        return this.ended(session, { kind: 'attempt-finished', worker, attempt, result });
      }
      case 'attemptFailed': {
        const { attempt, reason, fatal } = required(message.attemptFailed, 'attempt_failed');
        this.parts.log.warn('an attempt failed', { attempt, worker: session.nodeId, reason });
        return this.ended(session, { kind: 'attempt-failed', worker, attempt, reason, fatal });
      }
      case 'fetchFailed': {
        const { attempt, sources, reason } = required(message.fetchFailed, 'fetch_failed');
        this.parts.log.warn('map outputs could not be fetched', { attempt, sources: sources.length, reason });
        return this.ended(session, { kind: 'fetch-failed', worker, attempt, sources, reason });
      }
      case 'attemptStopped':
        session.running.delete(required(message.attemptStopped, 'attempt_stopped').attempt);
        return this.dispatchSoon();
      case 'heartbeat':
      case 'register':
      case undefined:
        return;
      default:
        return unreachable(message.body);
    }
  }

  private ended(session: WorkerSession, event: SchedulerEvent & { readonly attempt: AttemptId }): void {
    session.running.delete(event.attempt);
    const job = this.jobs.get(event.attempt.slice(0, event.attempt.lastIndexOf('-')));
    if (job === undefined || job.outcome !== undefined) this.say(session, { discard: { attempt: event.attempt } });
    else this.tell(job, event);
    this.dispatchSoon();
  }

  private lose(session: WorkerSession, reason: string): void {
    if (!this.sessions.delete(session.id)) return;
    this.parts.log.warn('a worker is lost', { worker: session.nodeId, session: session.id, reason });
    session.close();
    for (const job of this.jobs.values()) this.tell(job, { kind: 'worker-lost', worker: session.id });
    this.dispatchSoon();
  }

  private watch(dueUs: number): void {
    const nextUs = this.parts.clock.monotonicUs() + WATCH_US;
    this.cancelWatch = this.parts.timers.after(WATCH_US, () => this.watch(nextUs));
    // What workers said while this process stood still is not read yet: nobody is given up for that.
    const nowUs = this.parts.clock.monotonicUs();
    if (nowUs - dueUs > STALL_US) return;
    const timeoutUs = this.parts.times.sessionTimeoutMs * 1_000;
    for (const session of [...this.sessions.values()]) {
      if (nowUs - session.heardUs > timeoutUs) this.lose(session, `not heard for ${timeoutUs / 1_000} ms`);
    }
  }

  // What jobs want.

  private tell(job: Job, event: SchedulerEvent): void {
    for (const effect of job.step(event)) this.obey(job, effect);
  }

  private obey(job: Job, effect: SchedulerEffect): void {
    switch (effect.kind) {
      case 'assign-map':
        return this.assign(effect.worker, effect.attempt, { runMap: runMap(job, effect) });
      case 'assign-reduce':
        return this.assign(effect.worker, effect.attempt, { runReduce: runReduce(job, effect, this.sessions) });
      case 'stop':
        return this.sayTo(effect.worker, { stop: { attempt: effect.attempt } });
      case 'discard':
        return this.sayTo(effect.worker, { discard: { attempt: effect.attempt } });
      case 'commit-output':
        return void this.commit(job, effect.parts);
      case 'finished': {
        const kind = effect.outcome.kind === 'failed' ? 'failed-precondition' : '';
        return this.end(job, effect.outcome, kind);
      }
      default:
        return unreachable(effect);
    }
  }

  private assign(worker: WorkerId, attempt: AttemptId, message: MasterMessage): void {
    this.sessions.get(worker)?.running.add(attempt);
    this.sayTo(worker, message);
  }

  private async commit(job: Job, parts: readonly AttemptId[]): Promise<void> {
    try {
      await job.output.commit(parts);
      await this.release(job); // First: who hears of the success finds the output and nothing else.
      this.tell(job, { kind: 'output-committed' });
    } catch (error) {
      this.parts.log.error('the output could not be committed', { job: job.id, error: String(error) });
      this.tell(job, { kind: 'output-failed', reason: error instanceof Error ? error.message : String(error) });
    }
  }

  private fail(job: Job, error: unknown): void {
    if (!(error instanceof SynodError) && !isSystemError(error)) return this.parts.fault(error);
    const kind = error instanceof SynodError ? error.kind : 'failed-precondition';
    this.end(job, { kind: 'failed', reason: error.message }, kind);
  }

  private end(job: Job, outcome: NonNullable<Job['outcome']>, failureKind: ErrorKind | '' = ''): void {
    if (job.outcome !== undefined) return;
    job.end(outcome, failureKind, this.parts.clock.monotonicUs());
    const reason = 'reason' in outcome ? outcome.reason : undefined;
    this.parts.log.info('a job ended', { job: job.id, outcome: outcome.kind, reason });
    for (const session of [...this.sessions.values()]) this.say(session, { forgetJob: { jobId: job.id } });
    if (outcome.kind !== 'succeeded') void this.release(job);
    this.forgetOldJobs();
    this.dispatchSoon();
  }

  private async release(job: Job): Promise<void> {
    try {
      await job.output.release();
    } catch (error) {
      this.parts.log.warn('the staging folder could not be removed', { job: job.id, error: String(error) });
    }
  }

  private forgetOldJobs(): void {
    const ended = this.all().filter(({ outcome }) => outcome !== undefined);
    const forgotten = ended.slice(0, Math.max(0, ended.length - ENDED_MAX));
    for (const job of forgotten) this.jobs.delete(job.id);
    if (forgotten.length === 0) return;
    for (const [requestId, job] of this.submitted) {
      void job.then(({ id }) => this.jobs.has(id) || this.submitted.delete(requestId)).catch(() => undefined);
    }
  }

  /** Everything that one turn of the event loop changed is looked at once. */
  private dispatchSoon(): void {
    if (this.dispatching || this.stopping) return;
    this.dispatching = true;
    this.parts.timers.after(0, () => {
      this.dispatching = false;
      this.dispatch();
    });
  }

  /** Free slots to jobs, older jobs first, one slot of each worker in turn so that work spreads. */
  private dispatch(): void {
    for (const job of this.jobs.values()) {
      for (let assigned = true; assigned && job.scheduler?.hasWork === true;) {
        assigned = false;
        for (const session of [...this.sessions.values()]) {
          if (session.freeSlots <= 0) continue;
          const before = session.running.size;
          this.tell(job, { kind: 'offer', worker: session.id, slots: 1 });
          assigned ||= session.running.size > before;
        }
      }
    }
  }

  private sayTo(worker: WorkerId, message: MasterMessage): void {
    const session = this.sessions.get(worker);
    if (session !== undefined) this.say(session, message);
  }

  private say(session: WorkerSession, message: MasterMessage): void {
    // A word that cannot be said would leave a task hanging; losing the worker repairs everything. Not inside a scheduler's step.
    if (!session.say(message)) this.parts.timers.after(0, () => this.lose(session, 'its queue is full'));
  }
}

function numbers(counters: Readonly<Record<string, string>>): Record<string, number> {
  return Object.fromEntries(Object.entries(counters).map(([name, value]) => [name, Number(value)]));
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error;
}
