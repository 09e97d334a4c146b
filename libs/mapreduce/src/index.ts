// Names of things.
export { attemptId, type AttemptId, type JobId, type TaskKind, type WorkerId } from './ids';
// The master's scheduler: one job, a pure function of its events.
export { JobScheduler, type JobPhase, type SchedulerOptions } from './scheduler';
export type { JobOutcome, MapOutput, SchedulerEffect, SchedulerEvent } from './events';
export type { AttemptResult, Task, TaskState } from './task-table';
export { addCounters, type Counters } from './counters';
// Input: which documents, cut where, into which records.
export { everythingBelow, parseGlob, type Glob, type GlobSegment } from './glob';
export { planSplits, type DocumentRange, type Split } from './splits';
export {
  recordChunks,
  RecordTooLongError,
  type ByteRange,
  type ByteSource,
  type RecordChunk,
  type RecordLimits,
} from './records';
export { forEachLine, forEachWord, LINE_SEPARATORS, WORD_SEPARATORS, type Separators } from './separators';
// Output: which partition, under which names.
export { hashKey, partitionOf } from './partition';
export { escapeDocumentName } from './document-name';
export { partName } from './part-name';
// What users write.
export type { Emit, MapRecord, MapReduceJob } from './job-api';
// The scheduler among failing workers, on virtual time from one seed.
export { simulateJob, type SimulatedJob } from './simulation';
