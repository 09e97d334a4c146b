import { invariant } from '@synod/invariant';
import type { Counters } from './counters';
import { attemptId, type AttemptId, type JobId, type TaskKind, type WorkerId } from './ids';

/** What an attempt leaves when it ends well. */
export interface AttemptResult {
  readonly counters: Counters;
  /** Of a map: the size of its output for each partition. Of a reduce: the size of its part, as the only element. */
  readonly outputBytes: readonly number[];
}

/** Dean & Ghemawat, OSDI 2004, §3.2: "idle, in-progress, or completed", and the worker for all but idle tasks. */
export type TaskState =
  | { readonly phase: 'idle' }
  | { readonly phase: 'running'; readonly attempt: AttemptId; readonly worker: WorkerId }
  | {
      readonly phase: 'completed';
      /** The committed attempt. Invariant `one-committed-attempt-per-task`. */
      readonly attempt: AttemptId;
      readonly worker: WorkerId;
      readonly result: AttemptResult;
    };

export interface Task {
  readonly kind: TaskKind;
  readonly index: number;
  readonly state: TaskState;
  /** Attempts started so far. */
  readonly attempts: number;
  /** Attempts that failed by themselves; losing a worker or a source is not the task's failure. */
  readonly failures: number;
  /** How often its completed output was lost and had to be made again. */
  readonly outputsLost: number;
  /** Of the attempt that committed last. They outlive its output: the job may end without a map that every reduce had fetched. */
  readonly counters: Counters;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** How many idle tasks a locality preference may look through: a preference must not cost O(tasks) per assignment. */
const LOCALITY_WINDOW = 64;

/** The tasks of one kind of one job. The only place where a task's state changes. */
export class TaskTable {
  private readonly tasks: Mutable<Task>[];
  /** Idle tasks that were never tried, in index order. */
  private readonly fresh = new Set<Mutable<Task>>();
  /** Idle tasks that were tried before: they go first, because others already wait for them. */
  private readonly again = new Set<Mutable<Task>>();
  private readonly byAttempt = new Map<AttemptId, Mutable<Task>>();
  private completed = 0;

  constructor(
    private readonly job: JobId,
    readonly kind: TaskKind,
    readonly size: number,
  ) {
    this.tasks = Array.from({ length: size }, (_, index) => newTask(kind, index));
    for (const task of this.tasks) this.fresh.add(task);
  }

  get completedCount(): number {
    return this.completed;
  }

  get idleCount(): number {
    return this.fresh.size + this.again.size;
  }

  all(): readonly Task[] {
    return this.tasks;
  }

  /** The task whose running or committed attempt this is; undefined once the attempt was superseded. */
  holder(attempt: AttemptId): Task | undefined {
    return this.byAttempt.get(attempt);
  }

  /** The idle task to try next: a repeated one first, then a local one, then the first. */
  next(isLocal: (index: number) => boolean): Task | undefined {
    for (const task of this.again) return task;
    let seen = 0;
    for (const task of this.fresh) {
      if (isLocal(task.index)) return task;
      if (++seen === LOCALITY_WINDOW) break;
    }
    for (const task of this.fresh) return task;
    return undefined;
  }

  start(index: number, worker: WorkerId): AttemptId {
    const task = this.at(index);
    invariant(
      task.state.phase === 'idle',
      'only-idle-tasks-start',
      () => `${this.kind} ${index} is ${task.state.phase}`,
    );
    this.leave(task);
    task.attempts++;
    const attempt = attemptId(this.job, this.kind, index, task.attempts);
    task.state = { phase: 'running', attempt, worker };
    this.byAttempt.set(attempt, task);
    return attempt;
  }

  complete(index: number, attempt: AttemptId, result: AttemptResult): void {
    const task = this.at(index);
    const { state } = task;
    invariant(
      state.phase === 'running' && state.attempt === attempt,
      'one-committed-attempt-per-task',
      () => `${attempt} commits while ${this.kind} ${index} is ${JSON.stringify(state)}`,
    );
    task.state = { phase: 'completed', attempt, worker: state.worker, result };
    task.counters = result.counters;
    this.completed++;
  }

  /** Back to idle. The attempt that ran, or had committed, is superseded. */
  reset(index: number, cause: 'failed' | 'interrupted' | 'output-lost'): void {
    const task = this.at(index);
    invariant(
      task.state.phase === (cause === 'output-lost' ? 'completed' : 'running'),
      'tasks-are-reset-from-the-state-that-was-lost',
      () => `${this.kind} ${index} is ${task.state.phase}, ${cause}`,
    );
    this.leave(task);
    task.state = { phase: 'idle' };
    this.again.add(task);
    if (cause === 'failed') task.failures++;
    if (cause === 'output-lost') task.outputsLost++;
  }

  private leave(task: Mutable<Task>): void {
    this.fresh.delete(task);
    this.again.delete(task);
    if (task.state.phase === 'completed') this.completed--;
    if (task.state.phase !== 'idle') this.byAttempt.delete(task.state.attempt);
  }

  private at(index: number): Mutable<Task> {
    const task = this.tasks[index];
    invariant(task !== undefined, 'task-exists', () => `${this.kind} ${index} of ${this.size}`);
    return task;
  }
}

function newTask(kind: TaskKind, index: number): Mutable<Task> {
  return { kind, index, state: { phase: 'idle' }, attempts: 0, failures: 0, outputsLost: 0, counters: {} };
}
