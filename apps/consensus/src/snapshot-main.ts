import { z } from 'zod';
import { snapshotOfFolder } from './snapshot-of-folder';
import { restoreSnapshot } from './snapshot-restore';
import { snapshotStatus } from './snapshot-status';

const jobSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('status'), file: z.string() }),
  z.object({ kind: z.literal('save-folder'), folder: z.string(), file: z.string(), withoutLog: z.boolean() }),
  z.object({
    kind: z.literal('restore'),
    file: z.string(),
    folder: z.string(),
    members: z.array(z.string()).min(1),
    bumpRevision: z.string().regex(/^\d+$/),
    markCompacted: z.boolean(),
  }),
]);

/**
 * What `synod snapshot` runs: the one program that knows how the coordination store lies in a file and in a data folder.
 * Takes a job as JSON, prints what came of it as JSON; a failure is one line on stderr and exit code 1.
 */
async function main(text: string | undefined): Promise<void> {
  const job = jobSchema.parse(JSON.parse(text ?? ''));
  const outcome = await run(job);
  process.stdout.write(`${JSON.stringify(outcome)}\n`);
}

function run(job: z.output<typeof jobSchema>): Promise<unknown> {
  switch (job.kind) {
    case 'status':
      return snapshotStatus(job.file);
    case 'save-folder':
      return snapshotOfFolder(job);
    case 'restore':
      return restoreSnapshot({ ...job, bumpRevision: BigInt(job.bumpRevision) });
  }
}

main(process.argv[2]).catch((error: unknown) => {
  process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
