import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { serviceDefinition, type mapreduceV1 } from '@synod/contracts';
import { GrpcChannels } from '@synod/rpc';
import { SynodError, type ErrorKind } from '@synod/runtime';
import type { ProgramBundle } from './mapreduce-bundle';

/** What to run, over what, into what. */
export interface JobRequest {
  readonly program: 'wordcount' | 'index' | ProgramBundle;
  /** A glob of files, relative to the working folder or absolute; a folder for all files below it; or `store:PREFIX`. */
  readonly input: string;
  /** A folder that must not exist. */
  readonly output: string;
  /** Partitions; by the size of the input if absent. */
  readonly reducers?: number;
  /** 64 MiB if absent. */
  readonly splitBytes?: number;
}

export type JobState = 'planning' | 'mapping' | 'reducing' | 'committing' | 'succeeded' | 'failed' | 'cancelled';

export interface TaskCounts {
  readonly total: number;
  readonly running: number;
  readonly completed: number;
  /** Attempts that failed by themselves. */
  readonly failures: number;
}

/** A job as its master sees it. */
export interface JobProgress {
  readonly jobId: string;
  readonly state: JobState;
  readonly program: string;
  readonly output: string;
  /** Why it failed or was cancelled; empty otherwise. */
  readonly reason: string;
  readonly documents: number;
  readonly inputBytes: number;
  /** The snapshot that is read, for input from the store; else 0. */
  readonly snapshotTs: bigint;
  readonly maps: TaskCounts;
  readonly reduces: TaskCounts;
  /** How often a finished map had to run again because its output was lost. */
  readonly mapsRerun: number;
  /** Exact sums over committed attempts. */
  readonly counters: Readonly<Record<string, number>>;
  readonly workers: readonly JobWorker[];
  readonly elapsedMs: number;
}

/** What a worker does for a job, or holds of it. */
export interface JobWorker {
  readonly nodeId: string;
  readonly runningMaps: number;
  readonly runningReduces: number;
  /** Finished map outputs on this worker that some reduce may still have to fetch. */
  readonly unfetchedMapOutputs: number;
}

export interface TaskStatus {
  readonly kind: 'map' | 'reduce';
  readonly index: number;
  readonly state: 'idle' | 'running' | 'completed';
  readonly attempt: string;
  readonly nodeId: string;
  readonly attempts: number;
  readonly failures: number;
  readonly outputsLost: number;
}

export interface RunOptions {
  /** Called with the first state, and at most every 100 ms with a new one. */
  readonly onProgress?: (progress: JobProgress) => void;
  /** Cancels the job. */
  readonly signal?: AbortSignal;
}

const CALL_MS = 10_000;
/** Opening a snapshot may have to wait for the election of a new oracle. */
const SUBMIT_MS = 30_000;
/** Tries, and pauses between them, before a master that does not answer is given up. */
const TRIES = 20;
const RETRY_MS = 250;

/** Runs MapReduce jobs on a cluster's master. */
export class MapReduceClient {
  private readonly methods = serviceDefinition('synod.mapreduce.v1.MapReduce');

  /** @param masters addresses of the masters that run now; the first that answers gets the job */
  constructor(
    private readonly channels: GrpcChannels,
    private readonly masters: () => readonly string[],
  ) {}

  /**
   * Runs a job to its end.
   * @throws {SynodError} as the job failed: `already-exists` for the output, `not-found` for the input, `failed-precondition` for a task
   *   that kept failing, `unavailable` if no master answers or the master forgot the job …; `failed-precondition` if it was cancelled
   */
  async run(request: JobRequest, options: RunOptions = {}): Promise<JobProgress> {
    const { master, jobId } = await this.submit(request);
    const cancel = (): void => void this.cancel(master, jobId).catch(() => undefined);
    options.signal?.addEventListener('abort', cancel, { once: true });
    if (options.signal?.aborted === true) cancel();
    try {
      const { last, failureKind } = await this.watch(master, jobId, options.onProgress);
      if (last.state === 'succeeded') return last;
      throw new SynodError(failureKind, last.reason);
    } finally {
      options.signal?.removeEventListener('abort', cancel);
    }
  }

  /** @throws {SynodError} naming what was tried, if no master answers */
  async submit(request: JobRequest): Promise<{ master: string; jobId: string }> {
    const spec = jobSpec(request);
    const requestId = randomUUID();
    let refusal: SynodError | undefined;
    /** A master that may have taken the job: only it can be asked again without running the job twice. */
    let asked: string | undefined;
    for (let tries = 0; tries < TRIES; tries++) {
      for (const master of asked === undefined ? this.masters() : [asked]) {
        try {
          const options = { deadlineMs: SUBMIT_MS };
          const { jobId } = await this.channels.callUnary(master, this.methods.SubmitJob, { requestId, spec }, options);
          return { master, jobId };
        } catch (error) {
          refusal = transient(error);
          if (refusal.kind !== 'outcome-unknown') continue;
          asked = master;
          break;
        }
      }
      await pause(RETRY_MS);
    }
    throw new SynodError('unavailable', refusal?.message ?? 'no MapReduce master is registered; is one running?');
  }

  async job(master: string, jobId: string): Promise<{ job: JobProgress; tasks: TaskStatus[] }> {
    const request = { jobId, withTasks: true };
    const options = { deadlineMs: CALL_MS, idempotent: true };
    const { job, tasks } = await this.channels.callUnary(master, this.methods.GetJob, request, options);
    return { job: progressOf(job), tasks: tasks.map(taskStatus) };
  }

  async cancel(master: string, jobId: string): Promise<JobProgress> {
    const options = { deadlineMs: CALL_MS, idempotent: true };
    const { job } = await this.channels.callUnary(master, this.methods.CancelJob, { jobId }, options);
    return progressOf(job);
  }

  private async watch(
    master: string,
    jobId: string,
    onProgress: RunOptions['onProgress'],
  ): Promise<{ last: JobProgress; failureKind: ErrorKind }> {
    for (let tries = 1; ; tries++) {
      try {
        const stream = this.channels.callServerStream(master, this.methods.WatchJob, { jobId }, { idempotent: true });
        for await (const { job } of stream) {
          tries = 1;
          const last = progressOf(job);
          onProgress?.(last);
          if (ENDED.has(last.state)) return { last, failureKind: failureKindOf(job) };
        }
      } catch (error) {
        if (error instanceof SynodError && error.kind === 'not-found') {
          throw new SynodError('unavailable', `the master restarted and gave up job ${jobId}; run it again`, {
            cause: error,
          });
        }
        const failure = transient(error);
        if (tries === TRIES) throw failure;
      }
      await pause(RETRY_MS);
    }
  }
}

/** Runs a job to its end on connections of its own. Rejects as `MapReduceClient.run`. */
export async function runJob(
  request: JobRequest & { readonly masters: readonly string[] },
  options: RunOptions = {},
): Promise<JobProgress> {
  const channels = new GrpcChannels();
  try {
    return await new MapReduceClient(channels, () => request.masters).run(request, options);
  } finally {
    channels.close();
  }
}

const STORE = 'store:';

function jobSpec({ program, input, output, reducers, splitBytes }: JobRequest): mapreduceV1.JobSpec {
  return {
    ...(typeof program === 'object'
      ? { user: { name: program.name, bundle: program.bundle } }
      : { builtIn: program === 'wordcount' ? 'BUILT_IN_PROGRAM_WORDCOUNT' : 'BUILT_IN_PROGRAM_INDEX' }),
    ...(input.startsWith(STORE)
      ? { store: { prefix: Buffer.from(input.slice(STORE.length)) } }
      : { files: { glob: path.resolve(input) } }),
    output: path.resolve(output),
    reducers: reducers ?? 0,
    splitBytes: splitBytes ?? 0,
  };
}

const STATES: Readonly<Record<mapreduceV1.JobState__Output, JobState>> = {
  JOB_STATE_UNSPECIFIED: 'planning',
  JOB_STATE_PLANNING: 'planning',
  JOB_STATE_MAPPING: 'mapping',
  JOB_STATE_REDUCING: 'reducing',
  JOB_STATE_COMMITTING: 'committing',
  JOB_STATE_SUCCEEDED: 'succeeded',
  JOB_STATE_FAILED: 'failed',
  JOB_STATE_CANCELLED: 'cancelled',
};
const ENDED: ReadonlySet<JobState> = new Set<JobState>(['succeeded', 'failed', 'cancelled']);
const NO_TASKS: TaskCounts = { total: 0, running: 0, completed: 0, failures: 0 };

function progressOf(job: mapreduceV1.Job__Output | null): JobProgress {
  if (job === null) throw new SynodError('corrupt', 'the master answered without a job');
  const { jobId, program, output, reason, documents, mapsRerun, workers } = job;
  return {
    ...{ jobId, program, output, reason, documents, mapsRerun, workers },
    state: STATES[job.state],
    inputBytes: Number(job.inputBytes),
    snapshotTs: BigInt(job.snapshotTs),
    maps: job.maps ?? NO_TASKS,
    reduces: job.reduces ?? NO_TASKS,
    counters: Object.fromEntries(Object.entries(job.counters).map(([name, value]) => [name, Number(value)])),
    elapsedMs: Number(job.elapsedMs),
  };
}

function taskStatus(task: mapreduceV1.Task__Output): TaskStatus {
  const { index, attempt, nodeId, attempts, failures, outputsLost } = task;
  const kind = task.kind === 'TASK_KIND_REDUCE' ? 'reduce' : 'map';
  const state =
    task.state === 'TASK_STATE_COMPLETED' ? 'completed' : task.state === 'TASK_STATE_RUNNING' ? 'running' : 'idle';
  return { kind, state, index, attempt, nodeId, attempts, failures, outputsLost };
}

const FAILURE_KINDS: ReadonlySet<string> = new Set<ErrorKind>([
  'invalid-argument',
  'not-found',
  'already-exists',
  'permission-denied',
  'unavailable',
  'overloaded',
  'corrupt',
]);

function failureKindOf(job: mapreduceV1.Job__Output | null): ErrorKind {
  const kind = job?.failureKind ?? '';
  return FAILURE_KINDS.has(kind) ? (kind as ErrorKind) : 'failed-precondition';
}

/** @returns the error if another try may end better @throws it otherwise */
function transient(error: unknown): SynodError {
  if (error instanceof SynodError && (error.kind === 'unavailable' || error.kind === 'outcome-unknown')) return error;
  throw error;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
