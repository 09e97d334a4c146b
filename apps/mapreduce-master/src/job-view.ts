import type { mapreduceV1 } from '@synod/contracts';
import type { Task, WorkerId } from '@synod/mapreduce';
import type { Job } from './job';

/** How clients see a job. @param nodeOf the node of a worker session */
export function jobView(job: Job, nowUs: number, nodeOf: (worker: WorkerId) => string): mapreduceV1.Job {
  const { scheduler, plan, spec, outcome } = job;
  const maps = scheduler?.mapTasks ?? [];
  const reduces = scheduler?.reduceTasks ?? [];
  return {
    jobId: job.id,
    state: stateOf(job),
    program: spec.program.name,
    output: spec.output,
    failureKind: job.failureKind,
    reason: outcome !== undefined && 'reason' in outcome ? outcome.reason : '',
    documents: plan?.documents ?? 0,
    inputBytes: plan?.bytes ?? 0,
    snapshotTs: String(job.readTs ?? 0n),
    maps: taskCounts(maps),
    reduces: taskCounts(reduces),
    mapsRerun: maps.reduce((sum, { outputsLost }) => sum + outputsLost, 0),
    counters: { ...scheduler?.counters() },
    workers: outcome === undefined ? jobWorkers(job, nodeOf) : [],
    elapsedMs: Math.round(job.elapsedUs(nowUs) / 1_000),
  };
}

/** Every task of a job: maps, then reduces. */
export function taskViews(job: Job, nodeOf: (worker: WorkerId) => string): mapreduceV1.Task[] {
  const { scheduler } = job;
  return [...(scheduler?.mapTasks ?? []), ...(scheduler?.reduceTasks ?? [])].map((task) => ({
    kind: task.kind === 'map' ? 'TASK_KIND_MAP' : 'TASK_KIND_REDUCE',
    index: task.index,
    state: TASK_STATES[task.state.phase],
    attempt: task.state.phase === 'idle' ? '' : task.state.attempt,
    nodeId: task.state.phase === 'idle' ? '' : nodeOf(task.state.worker),
    attempts: task.attempts,
    failures: task.failures,
    outputsLost: task.outputsLost,
  }));
}

const TASK_STATES = {
  idle: 'TASK_STATE_IDLE',
  running: 'TASK_STATE_RUNNING',
  completed: 'TASK_STATE_COMPLETED',
} as const satisfies Record<Task['state']['phase'], mapreduceV1.TaskState>;

function stateOf({ outcome, scheduler }: Job): mapreduceV1.JobState {
  switch (outcome?.kind) {
    case 'succeeded':
      return 'JOB_STATE_SUCCEEDED';
    case 'failed':
      return 'JOB_STATE_FAILED';
    case 'cancelled':
      return 'JOB_STATE_CANCELLED';
    case undefined:
  }
  switch (scheduler?.phase) {
    case undefined:
      return 'JOB_STATE_PLANNING';
    case 'mapping':
      return 'JOB_STATE_MAPPING';
    case 'reducing':
      return 'JOB_STATE_REDUCING';
    case 'committing':
    case 'finished':
      return 'JOB_STATE_COMMITTING';
  }
}

function taskCounts(tasks: readonly Task[]): mapreduceV1.TaskCounts {
  const inPhase = (phase: Task['state']['phase']): number => tasks.filter(({ state }) => state.phase === phase).length;
  return {
    total: tasks.length,
    running: inPhase('running'),
    completed: inPhase('completed'),
    failures: tasks.reduce((sum, { failures }) => sum + failures, 0),
  };
}

function jobWorkers({ scheduler }: Job, nodeOf: (worker: WorkerId) => string): mapreduceV1.JobWorker[] {
  const workers = new Map<WorkerId, { runningMaps: number; runningReduces: number; unfetchedMapOutputs: number }>();
  for (const { kind, state } of [...(scheduler?.mapTasks ?? []), ...(scheduler?.reduceTasks ?? [])]) {
    if (state.phase === 'idle') continue;
    const worker = workers.get(state.worker) ?? { runningMaps: 0, runningReduces: 0, unfetchedMapOutputs: 0 };
    workers.set(state.worker, worker);
    if (state.phase === 'running') worker[kind === 'map' ? 'runningMaps' : 'runningReduces']++;
    else if (kind === 'map' && scheduler?.outputsNeeded === true) worker.unfetchedMapOutputs++;
  }
  return [...workers].map(([worker, counts]) => ({ nodeId: nodeOf(worker), ...counts }));
}
