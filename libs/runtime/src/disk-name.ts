import { SynodError } from './errors';

/**
 * The parts of a name on a `Disk`. Every adapter takes names through here, so that none leads out of its folder and all accept
 * the same ones: parts of 1 to 255 bytes joined by `/`; never `.`, `..`, a backslash, or NUL.
 * @throws {SynodError} `invalid-argument`
 */
export function diskNameParts(name: string): string[] {
  const parts = name.split('/');
  if (!parts.every(isPart)) {
    throw new SynodError('invalid-argument', `not a name inside a data folder: ${JSON.stringify(name)}`);
  }
  return parts;
}

/** As `diskNameParts`, for calls that take a folder: there, the empty name is the data folder itself. */
export function diskFolderParts(folder: string): string[] {
  return folder === '' ? [] : diskNameParts(folder);
}

function isPart(part: string): boolean {
  return part !== '' && part !== '.' && part !== '..' && Buffer.byteLength(part) <= 255 && !/[\\\0]/.test(part);
}
