import { z } from 'zod';
import { restoreSnapshot } from './snapshot-restore';
import { snapshotStatus } from './snapshot-status';

const jobSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('status'), file: z.string() }),
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
  const outcome =
    job.kind === 'status'
      ? await snapshotStatus(job.file)
      : await restoreSnapshot({ ...job, bumpRevision: BigInt(job.bumpRevision) });
  process.stdout.write(`${JSON.stringify(outcome)}\n`);
}

main(process.argv[2]).catch((error: unknown) => {
  process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
