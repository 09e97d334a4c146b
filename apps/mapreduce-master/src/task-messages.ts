import type { mapreduceV1 } from '@synod/contracts';
import { invariant } from '@synod/invariant';
import type { SchedulerEffect, WorkerId } from '@synod/mapreduce';
import type { Job } from './job';
import type { WorkerSession } from './worker-session';

/** The message that assigns a map attempt. */
export function runMap(job: Job, { attempt, split }: SchedulerEffect & { kind: 'assign-map' }): mapreduceV1.RunMap {
  const input = job.split(split);
  invariant(input !== undefined, 'an-assigned-split-exists', () => `${attempt}: split ${split}`);
  const common = { attempt, program: programOf(job) };
  if (input.kind === 'files') {
    const ranges = input.ranges.map(({ document, start, end }) => ({ document, start, end }));
    return { ...common, files: { folder: input.folder, ranges } };
  }
  return {
    ...common,
    store: { readTs: String(input.readTs), start: input.start, end: input.end, keys: [...input.keys] },
  };
}

/** The message that assigns a reduce attempt: what to fetch, gathered by worker, and where to write. */
export function runReduce(
  job: Job,
  { attempt, partition, sources }: SchedulerEffect & { kind: 'assign-reduce' },
  sessions: ReadonlyMap<WorkerId, WorkerSession>,
): mapreduceV1.RunReduce {
  const byWorker = new Map<WorkerId, string[]>();
  for (const source of sources) {
    const attempts = byWorker.get(source.worker) ?? [];
    attempts.push(source.attempt);
    byWorker.set(source.worker, attempts);
  }
  const located = [...byWorker].map(([worker, attempts]) => {
    const session = sessions.get(worker);
    invariant(session !== undefined, 'committed-map-outputs-are-on-live-workers', () => `${attempt} needs ${worker}`);
    return { address: session.address, attempts };
  });
  const outputFile = job.output.partFile(attempt);
  return { attempt, program: programOf(job), partition, sources: located, outputFile };
}

function programOf(job: Job): mapreduceV1.JobProgram {
  const { program } = job.spec;
  const common = { jobId: job.id, partitions: job.partitions };
  if (program.kind === 'user') return { ...common, bundleSha256: program.sha256 };
  const builtIn = program.name === 'wordcount' ? 'BUILT_IN_PROGRAM_WORDCOUNT' : 'BUILT_IN_PROGRAM_INDEX';
  return { ...common, builtIn };
}
