import { invariant, unreachable } from '@synod/invariant';
import { addCounters, type Counters } from './counters';
import type { JobOutcome, MapOutput, SchedulerEffect, SchedulerEvent } from './events';
import type { AttemptId, JobId, WorkerId } from './ids';
import { TaskTable, type Task } from './task-table';

export interface SchedulerOptions {
  readonly job: JobId;
  /** Map tasks: one per split. */
  readonly splits: number;
  /** Reduce tasks: one per partition. */
  readonly partitions: number;
  /** A task that fails by itself this often fails the job. Losing its worker does not count. */
  readonly attemptsMax: number;
  /** A map output that could not be fetched this often fails the job. */
  readonly outputsLostMax: number;
  /** Whether a worker sits near a split's bytes; preferred, never waited for (Dean & Ghemawat, §3.4). */
  readonly isLocal?: (split: number, worker: WorkerId) => boolean;
}

/** Where a job stands between submission and its outcome. */
export type JobPhase = 'mapping' | 'reducing' | 'committing' | 'finished';

/**
 * The master's view of one job: which task runs where, and what a failure undoes. A pure function of its events.
 * Source: Dean & Ghemawat, "MapReduce", OSDI 2004, §3.2 (master data), §3.3 (worker failure, atomic commit), §3.4 (locality).
 * Differs from the paper: a reduce is assigned only once every map is done, so it is told all locations at once; one that cannot
 * fetch gives its slot back instead of waiting, so a lost map can always run again; output becomes visible with the whole job.
 */
export class JobScheduler {
  private readonly maps: TaskTable;
  private readonly reduces: TaskTable;
  private committing = false;
  private outcome: JobOutcome | undefined;

  constructor(private readonly options: SchedulerOptions) {
    invariant(options.partitions > 0, 'a-job-has-a-partition');
    this.maps = new TaskTable(options.job, 'map', options.splits);
    this.reduces = new TaskTable(options.job, 'reduce', options.partitions);
  }

  get phase(): JobPhase {
    if (this.outcome !== undefined) return 'finished';
    if (this.committing) return 'committing';
    return this.mapsDone ? 'reducing' : 'mapping';
  }

  /** Whether an offer could be answered with an assignment now. */
  get hasWork(): boolean {
    return this.running && (this.maps.idleCount > 0 || (this.mapsDone && this.reduces.idleCount > 0));
  }

  get mapTasks(): readonly Task[] {
    return this.maps.all();
  }

  get reduceTasks(): readonly Task[] {
    return this.reduces.all();
  }

  get mapsCompleted(): number {
    return this.maps.completedCount;
  }

  get reducesCompleted(): number {
    return this.reduces.completedCount;
  }

  /** Whether a reduce may still have to fetch from completed maps. */
  get outputsNeeded(): boolean {
    return this.running && this.reduces.completedCount < this.reduces.size;
  }

  /** Sums over committed attempts only (§4.9): a repeated or superseded attempt never counts twice. */
  counters(): Counters {
    const sum: Record<string, number> = {};
    for (const task of [...this.maps.all(), ...this.reduces.all()]) addCounters(sum, task.counters);
    return sum;
  }

  step(event: SchedulerEvent): readonly SchedulerEffect[] {
    switch (event.kind) {
      case 'offer':
        return this.assign(event.worker, event.slots);
      case 'worker-lost':
        return this.loseWorker(event.worker);
      case 'attempt-finished':
        return this.finishAttempt(event);
      case 'attempt-failed':
        return this.failAttempt(event);
      case 'fetch-failed':
        return this.failFetch(event);
      case 'output-committed':
        return this.committing ? this.end({ kind: 'succeeded' }) : [];
      case 'output-failed':
        return this.committing ? this.end({ kind: 'failed', reason: event.reason }) : [];
      case 'cancel':
        // Once the parts are getting their names it is too late to say that nothing became visible.
        return this.committing ? [] : this.end({ kind: 'cancelled', reason: event.reason });
      default:
        return unreachable(event);
    }
  }

  private get running(): boolean {
    return this.outcome === undefined && !this.committing;
  }

  /** A partition's input is complete only when every map is: the rule behind `reduce-after-all-maps`. */
  private get mapsDone(): boolean {
    return this.maps.completedCount === this.maps.size;
  }

  private assign(worker: WorkerId, slots: number): SchedulerEffect[] {
    const effects: SchedulerEffect[] = [];
    while (this.running && effects.length < slots) {
      const map = this.maps.next((split) => this.options.isLocal?.(split, worker) ?? false);
      const reduce = this.mapsDone ? this.reduces.next(() => false) : undefined;
      if (map !== undefined) {
        effects.push({ kind: 'assign-map', worker, attempt: this.maps.start(map.index, worker), split: map.index });
      } else if (reduce !== undefined) {
        effects.push(this.assignReduce(reduce, worker));
      } else break;
    }
    return effects;
  }

  private assignReduce(reduce: Task, worker: WorkerId): SchedulerEffect {
    const sources: MapOutput[] = [];
    for (const { index, state } of this.maps.all()) {
      invariant(state.phase === 'completed', 'reduce-after-all-maps', () => `map ${index} is ${state.phase}`);
      const bytes = state.result.outputBytes[reduce.index] ?? 0;
      if (bytes > 0) sources.push({ attempt: state.attempt, worker: state.worker, bytes });
    }
    const attempt = this.reduces.start(reduce.index, worker);
    return { kind: 'assign-reduce', worker, attempt, partition: reduce.index, sources };
  }

  /** §3.3: its running tasks become idle, and its completed maps too while their output is needed; completed reduces stay. */
  private loseWorker(worker: WorkerId): SchedulerEffect[] {
    if (!this.running) return [];
    const outputsNeeded = this.outputsNeeded;
    for (const { index, state } of this.maps.all()) {
      if (state.phase === 'idle' || state.worker !== worker) continue;
      if (state.phase === 'running') this.maps.reset(index, 'interrupted');
      else if (outputsNeeded) this.maps.reset(index, 'output-lost');
    }
    for (const { index, state } of this.reduces.all()) {
      if (state.phase === 'running' && state.worker === worker) this.reduces.reset(index, 'interrupted');
    }
    return [];
  }

  private finishAttempt(event: SchedulerEvent & { kind: 'attempt-finished' }): SchedulerEffect[] {
    const { worker, attempt, result } = event;
    const table = this.runningIn(worker, attempt);
    // A zombie: its task was given to another attempt, or is done. Its output must never be seen.
    if (table === undefined) return this.discard(worker, attempt);
    table.complete(this.taskOf(table, attempt).index, attempt, result);
    if (this.reduces.completedCount < this.reduces.size) return [];
    this.committing = true;
    return [{ kind: 'commit-output', parts: this.reduces.all().map(committedAttempt) }];
  }

  private failAttempt(event: SchedulerEvent & { kind: 'attempt-failed' }): SchedulerEffect[] {
    const table = this.runningIn(event.worker, event.attempt);
    if (table === undefined) return [];
    const task = this.taskOf(table, event.attempt);
    table.reset(task.index, 'failed');
    if (!event.fatal && task.failures < this.options.attemptsMax) return [];
    const times = task.failures === 1 ? 'once' : `${task.failures} times`;
    return this.end({ kind: 'failed', reason: `${task.kind} task ${task.index} failed ${times}: ${event.reason}` });
  }

  /** The outputs are taken as lost without waiting for the worker's time-out; the reduce is not to blame and tries again. */
  private failFetch(event: SchedulerEvent & { kind: 'fetch-failed' }): SchedulerEffect[] {
    const table = this.runningIn(event.worker, event.attempt);
    if (table === undefined) return [];
    table.reset(this.taskOf(table, event.attempt).index, 'interrupted');
    for (const source of event.sources) {
      const map = this.maps.holder(source);
      if (map?.state.phase !== 'completed') continue; // Known to be lost already.
      this.maps.reset(map.index, 'output-lost');
      if (map.outputsLost > this.options.outputsLostMax) {
        const reason = `the output of map task ${map.index} was lost ${map.outputsLost} times: ${event.reason}`;
        return this.end({ kind: 'failed', reason });
      }
    }
    return [];
  }

  /** The table in which `worker` runs exactly this attempt now; undefined for late words of a superseded attempt. */
  private runningIn(worker: WorkerId, attempt: AttemptId): TaskTable | undefined {
    if (!this.running) return undefined;
    return [this.maps, this.reduces].find((table) => {
      const state = table.holder(attempt)?.state;
      return state?.phase === 'running' && state.worker === worker;
    });
  }

  private taskOf(table: TaskTable, attempt: AttemptId): Task {
    const task = table.holder(attempt);
    invariant(task !== undefined, 'task-exists', () => attempt);
    return task;
  }

  private discard(worker: WorkerId, attempt: AttemptId): SchedulerEffect[] {
    const holder = this.maps.holder(attempt) ?? this.reduces.holder(attempt);
    // A repeated message about the committed attempt itself must not throw its output away.
    if (holder?.state.phase === 'completed' && holder.state.worker === worker) return [];
    return [{ kind: 'discard', worker, attempt }];
  }

  private end(outcome: JobOutcome): SchedulerEffect[] {
    if (this.outcome !== undefined) return [];
    const effects: SchedulerEffect[] = [];
    for (const { state } of [...this.maps.all(), ...this.reduces.all()]) {
      if (state.phase === 'running') effects.push({ kind: 'stop', worker: state.worker, attempt: state.attempt });
    }
    this.outcome = outcome;
    return [...effects, { kind: 'finished', outcome }];
  }
}

function committedAttempt(task: Task): AttemptId {
  invariant(task.state.phase === 'completed', 'only-committed-parts-become-visible', () => `reduce ${task.index}`);
  return task.state.attempt;
}
