import { readFileSync } from 'node:fs';
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import path from 'node:path';
import { SynodError } from './errors';

/** Holds a folder for this process until `release`, or until the process ends in whatever way. */
export interface FolderLock {
  release(): Promise<void>;
}

/** Another process that lives holds the folder. */
export class FolderInUse extends SynodError {
  constructor(folder: string, holder: string) {
    super('failed-precondition', `${folder} is in use by ${holder}; stop it, or use another folder`);
  }
}

/**
 * Takes `folder` for this process, creating it if it is missing: two nodes on one data folder would vote with one disk.
 *
 * A file names the holder, by pid and start time so that a reused pid does not count. A file alone cannot be taken over from a dead
 * holder without a moment in which two processes both may, so on Linux the kernel decides: the lock is a socket in the abstract
 * namespace, named after the folder's inode, which it frees when its process ends. The file then tells people who it is, and keeps
 * out a process of another network namespace.
 * @param name of the lock file, for folders that several programs share by agreement
 * @throws {FolderInUse} naming the pid if a living process holds it
 * @throws {SynodError} `failed-precondition` if it is no folder, and cannot be one
 */
export async function lockFolder(folder: string, name = 'synod.lock'): Promise<FolderLock> {
  await mkdir(folder, { recursive: true }).catch((error: Error) => {
    throw new SynodError(
      'failed-precondition',
      `the folder ${folder} cannot be made: ${error.message}; use another one`,
    );
  });
  const file = path.join(folder, name);
  const socket = process.platform === 'linux' ? await bindAbstract(folder, name) : undefined;
  const holder = await readHolder(file);
  // A container's processes often have the same pid in every life.
  const wasThisPid = socket !== undefined && holder?.pid === process.pid;
  if (socket === 'taken' || (holder !== undefined && !wasThisPid && isAlive(holder))) {
    if (socket !== 'taken') await closed(socket);
    throw new FolderInUse(folder, holder === undefined ? 'another process' : `process ${holder.pid}`);
  }
  await writeFile(file, `${process.pid} ${startTimeOf(process.pid) ?? ''}\n`);
  return {
    release: async () => {
      await rm(file, { force: true });
      await closed(socket);
    },
  };
}

interface Holder {
  readonly pid: number;
  /** Empty where the system does not tell. */
  readonly startTime: string;
}

async function readHolder(file: string): Promise<Holder | undefined> {
  const text = await readFile(file, 'utf8').catch(() => '');
  const [pid = '', startTime = ''] = text.trim().split(' ');
  return pid === '' ? undefined : { pid: Number(pid), startTime };
}

function isAlive({ pid, startTime }: Holder): boolean {
  if (startTime !== '') return startTimeOf(pid) === startTime;
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** When a process started, in the kernel's ticks; undefined if it is gone, or the system does not tell. */
function startTimeOf(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command name, in brackets, may hold anything: count the fields after it.
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

async function bindAbstract(folder: string, name: string): Promise<Server | 'taken'> {
  const { dev, ino } = await stat(folder);
  const server = createServer((connection) => connection.destroy());
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve('taken');
      else reject(error);
    });
    server.listen({ path: `\0synod ${dev} ${ino} ${name}` }, () => {
      server.unref();
      resolve(server);
    });
  });
}

async function closed(server: Server | undefined): Promise<void> {
  await new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())));
}
