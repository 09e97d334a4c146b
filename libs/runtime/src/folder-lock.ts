import { readFileSync } from 'node:fs';
import { mkdir, open, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { SynodError } from './errors';

/** Holds a folder for this process until `release`. */
export interface FolderLock {
  release(): Promise<void>;
}

/**
 * Takes `folder` for this process. A lock whose holder is gone (by pid and start time, so a reused pid does not count) is taken over.
 * @param name of the lock file, for folders that several programs share by agreement
 * @throws {SynodError} `failed-precondition`, naming the pid, if a living process holds it
 */
export async function lockFolder(folder: string, name = 'synod.lock'): Promise<FolderLock> {
  await mkdir(folder, { recursive: true });
  const file = path.join(folder, name);
  for (;;) {
    try {
      const handle = await open(file, 'wx');
      await handle.writeFile(`${process.pid} ${startTimeOf(process.pid) ?? ''}\n`);
      await handle.close();
      return { release: () => rm(file, { force: true }) };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const [pid = '', startTime = ''] = (await readFile(file, 'utf8').catch(() => '')).trim().split(' ');
    if (pid !== '' && startTimeOf(Number(pid)) === startTime) {
      throw new SynodError(
        'failed-precondition',
        `${folder} is in use by process ${pid}; stop it, or use another folder`,
      );
    }
    await rm(file, { force: true });
  }
}

/** When a process started, in the kernel's ticks; undefined if it is gone. */
function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command name, in brackets, may hold anything: count the fields after it.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}
