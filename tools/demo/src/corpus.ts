import { copyFile, mkdir, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { SynodError } from '@synod/runtime';
import type { Document } from './sequential-reference';

const TEXT = /\.(md|markdown)$|^(licen[cs]e|copying|notice)/i;

/**
 * Copies text files into a folder of the demo's own: every Markdown and licence file below `from`, or every file if it was chosen by the user.
 * @returns their paths below the folder, in byte order
 * @throws {SynodError} `not-found` if there is no such folder or nothing in it
 */
export async function collectCorpus(from: string, into: string, everything: boolean): Promise<string[]> {
  let entries;
  try {
    entries = await readdir(from, { recursive: true, withFileTypes: true });
  } catch (error) {
    throw new SynodError('not-found', `the input folder ${from} cannot be read: ${(error as Error).message}`);
  }
  const names = entries
    .filter((entry) => entry.isFile() && (everything || TEXT.test(entry.name)))
    .map((entry) => path.relative(from, path.join(entry.parentPath, entry.name)))
    .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  if (names.length === 0) throw new SynodError('not-found', `the input folder ${from} holds no text files`);
  for (const name of names) {
    await mkdir(path.dirname(path.join(into, name)), { recursive: true });
    await copyFile(path.join(from, name), path.join(into, name));
  }
  return names;
}

export async function* readCorpus(folder: string, names: readonly string[]): AsyncGenerator<Document> {
  for (const name of names) yield { name, bytes: await readFile(path.join(folder, name)) };
}

/** Pieces of at most `bytesMax`, cut at line ends; a line that is longer is cut where it must be. */
export function cutAtLineEnds(bytes: Buffer, bytesMax: number): Buffer[] {
  const pieces: Buffer[] = [];
  for (let start = 0; start < bytes.length;) {
    const whole = Math.min(bytes.length, start + bytesMax);
    const lineEnd = whole === bytes.length ? whole : bytes.lastIndexOf(0x0a, whole - 1) + 1;
    const end = lineEnd > start ? lineEnd : whole;
    pieces.push(bytes.subarray(start, end));
    start = end;
  }
  return pieces.length === 0 ? [bytes] : pieces;
}
