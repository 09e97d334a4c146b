/** A job, named by its master; never used again. Made of `a-z`, `0-9` and `-`, so that it may be part of a file name. */
export type JobId = string;

/** One session of a worker process with the master. A worker that reconnects is another worker: what it held before is forgotten. */
export type WorkerId = string;

export type TaskKind = 'map' | 'reduce';

/** One try at one task: `<job>-m00012.3` is the third try at map task 12. Never used again, so whatever it left behind is told apart. */
export type AttemptId = string;

/** @param attempt counts from 1 within the task */
export function attemptId(job: JobId, kind: TaskKind, index: number, attempt: number): AttemptId {
  return `${job}-${kind === 'map' ? 'm' : 'r'}${String(index).padStart(5, '0')}.${attempt}`;
}
