import { readdir, stat } from 'node:fs/promises';
import { everythingBelow, parseGlob, type Glob, type GlobSegment } from '@synod/mapreduce';
import { SynodError } from '@synod/runtime';

/** A file of the input. Names are bytes: they need not be UTF-8. */
export interface InputFile {
  /** Path below `InputFiles.folder`. */
  readonly document: Buffer;
  readonly size: number;
}

export interface InputFiles {
  /** The glob's fixed prefix, absolute, with a slash at the end. */
  readonly folder: Buffer;
  /** In byte order of their names, each once. */
  readonly files: readonly InputFile[];
}

const FILES_MAX = 1_000_000;
/** System calls in flight while sizes are asked for. */
const STATS_AT_ONCE = 32;

/**
 * The regular files that match a glob. `**` does not follow links to folders, everything else does.
 * @throws {SynodError} `not-found` if nothing matches, naming what is missing; `failed-precondition` if a folder cannot be read
 */
export async function findFiles(pattern: string): Promise<InputFiles> {
  const glob = await globOf(pattern);
  const folder = Buffer.from(glob.prefix);
  if (!(await isFolder(folder))) throw new SynodError('not-found', `there is no folder ${glob.prefix}`);
  const found = new Map<string, Buffer>();
  for (const segments of glob.alternatives) await walk(folder, Buffer.alloc(0), segments, found);
  if (found.size === 0) throw new SynodError('not-found', `no file matches ${pattern}`);
  const documents = [...found.values()].sort((a, b) => a.compare(b));
  const sizes = await inParallel(documents, async (document) => (await stat(Buffer.concat([folder, document]))).size);
  return { folder, files: documents.map((document, at) => ({ document, size: sizes[at] as number })) };
}

/** A folder's path stands for all files below it. */
async function globOf(pattern: string): Promise<Glob> {
  try {
    const glob = parseGlob(pattern);
    if (!glob.plain || !(await isFolder(Buffer.from(pattern)))) return glob;
    return everythingBelow(pattern);
  } catch (error) {
    if (error instanceof SyntaxError)
      throw new SynodError('invalid-argument', `${pattern} is not a glob: ${error.message}`);
    throw error;
  }
}

async function walk(
  folder: Buffer,
  below: Buffer,
  segments: readonly GlobSegment[],
  found: Map<string, Buffer>,
): Promise<void> {
  const [segment, ...rest] = segments;
  if (segment === undefined) return;
  const entries = await entriesOf(Buffer.concat([folder, below]));
  for (const entry of entries) {
    const name = entry.name.toString();
    const document = Buffer.concat([below, entry.name]);
    const inside = Buffer.concat([document, SLASH]);
    if (segment.kind === 'any-depth') {
      if (entry.isDirectory() && (segment.hidden || !name.startsWith('.'))) await walk(folder, inside, segments, found);
    } else if (segment.matches(name)) {
      const kind = entry.isSymbolicLink() ? await targetKind(Buffer.concat([folder, document])) : kindOf(entry);
      if (rest.length === 0 && kind === 'file') found.set(document.toString('latin1'), document);
      else if (rest.length > 0 && kind === 'folder') await walk(folder, inside, rest, found);
    }
  }
  if (segment.kind === 'any-depth') await walk(folder, below, rest, found); // No folder at all is a depth too.
  if (found.size > FILES_MAX) throw new SynodError('invalid-argument', `the glob matches more than ${FILES_MAX} files`);
}

const SLASH = Buffer.from('/');

async function entriesOf(folder: Buffer) {
  try {
    return await readdir(folder, { withFileTypes: true, encoding: 'buffer' });
  } catch (error) {
    throw new SynodError('failed-precondition', `cannot read ${folder.toString()}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

function kindOf(entry: { isFile(): boolean; isDirectory(): boolean }): 'file' | 'folder' | 'other' {
  return entry.isFile() ? 'file' : entry.isDirectory() ? 'folder' : 'other';
}

/** Of a link's target; a dangling link is nothing. */
async function targetKind(path: Buffer): Promise<'file' | 'folder' | 'other'> {
  try {
    return kindOf(await stat(path));
  } catch {
    return 'other';
  }
}

async function isFolder(path: Buffer): Promise<boolean> {
  return (await targetKind(path)) === 'folder';
}

async function inParallel<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let at = next++; at < items.length; at = next++) results[at] = await work(items[at] as T);
  };
  await Promise.all(Array.from({ length: STATS_AT_ONCE }, worker));
  return results;
}
