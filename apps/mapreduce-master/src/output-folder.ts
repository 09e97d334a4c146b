import { lstat, mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { partName, type AttemptId, type JobId } from '@synod/mapreduce';
import { SynodError } from '@synod/runtime';

/**
 * Where a job's parts come together. Reduce attempts write below a staging folder beside the output, each under its own name; the
 * output folder appears by one rename, with all parts or not at all. An attempt that was superseded may still write, but below a name
 * that nobody looks at, in a folder that goes away.
 *
 *   out                            the output, once the job has succeeded
 *   .out.synod-<job>/attempts/…    one folder for each reduce attempt
 *   .out.synod-<job>/result        the committed parts, until it is renamed to `out`
 */
export class OutputFolder {
  private readonly staging: string;

  private constructor(
    readonly folder: string,
    job: JobId,
    /** Remembers the staging folder across a crash of the master. */
    private readonly note: string,
  ) {
    this.staging = path.join(path.dirname(folder), `.${path.basename(folder)}${STAGING}${job}`);
  }

  /**
   * @param notes folder of this master's own, for `sweep`
   * @throws {SynodError} `already-exists` if something has the output's name
   */
  static async claim(folder: string, job: JobId, notes: string): Promise<OutputFolder> {
    await refuseExisting(folder);
    const output = new OutputFolder(folder, job, path.join(notes, job));
    try {
      await mkdir(path.dirname(folder), { recursive: true });
      await writeFile(output.note, output.staging);
      await mkdir(output.staging);
      await mkdir(path.join(output.staging, 'attempts'));
    } catch (error) {
      throw new SynodError('failed-precondition', `cannot write the output: ${(error as Error).message}`, {
        cause: error,
      });
    }
    return output;
  }

  /** Where a reduce attempt writes its part; the attempt makes the folder. */
  partFile(attempt: AttemptId): string {
    return path.join(this.staging, 'attempts', attempt, 'part');
  }

  /** Gives the parts their final names, in order of partitions, and makes them durable. */
  async commit(parts: readonly AttemptId[]): Promise<void> {
    const result = path.join(this.staging, 'result');
    await mkdir(result);
    for (const [partition, attempt] of parts.entries()) {
      await rename(this.partFile(attempt), path.join(result, partName(partition)));
    }
    await syncFolder(result);
    await refuseExisting(this.folder);
    await rename(result, this.folder);
    await syncFolder(path.dirname(this.folder));
  }

  /** Removes what is not output. */
  async release(): Promise<void> {
    await rm(this.staging, { recursive: true, force: true, maxRetries: 3 });
    await rm(this.note, { force: true });
  }

  /** Removes the staging folders that an earlier life of this master left behind when it died. */
  static async sweep(notes: string): Promise<void> {
    await mkdir(notes, { recursive: true });
    for (const name of await readdir(notes)) {
      const note = path.join(notes, name);
      const staging = await readFile(note, 'utf8');
      if (staging.endsWith(`${STAGING}${name}`)) await rm(staging, { recursive: true, force: true });
      await rm(note);
    }
  }
}

const STAGING = '.synod-';

async function refuseExisting(folder: string): Promise<void> {
  const found = await lstat(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw new SynodError('failed-precondition', `cannot write the output: ${error.message}`, { cause: error });
  });
  if (found !== undefined) {
    throw new SynodError('already-exists', `the output ${folder} exists; remove it or choose another`);
  }
}

async function syncFolder(folder: string): Promise<void> {
  const directory = await open(folder, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
