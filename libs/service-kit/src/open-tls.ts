import { TlsMaterial, type TlsFiles } from '@synod/rpc';
import { SynodError, type Log } from '@synod/runtime';
import { UsageError } from './usage-error';

/**
 * Certificates that settings name, to be closed at the end.
 * @throws {UsageError} naming the setting whose file cannot be used
 */
export function openTls(files: TlsFiles | undefined, log: Log): TlsMaterial | undefined {
  try {
    return files === undefined ? undefined : new TlsMaterial(files, log);
  } catch (error) {
    if (error instanceof SynodError) throw new UsageError(error.message);
    throw error;
  }
}
