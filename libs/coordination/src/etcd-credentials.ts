import { readFileSync } from 'node:fs';
import { z } from 'zod';
import type { EtcdCredentials } from './etcd-session';

/** A user of the coordination store, and the file that it was read from. */
export interface FileCredentials extends EtcdCredentials {
  readonly file: string;
}

/**
 * Reads `user:password` from a file: on a command line everyone could see it.
 * @throws {Error} saying what is wrong
 */
export function readCredentials(file: string): FileCredentials {
  const [line = ''] = readFileSync(file, 'utf8').split(/\r?\n/);
  const [user = '', ...rest] = line.split(':');
  if (user === '' || rest.length === 0) throw new Error(`${file} does not begin with user:password`);
  return { file, user, password: rest.join(':') };
}

/** As whom a service uses the coordination service, where that checks its users. */
export function credentialsSetting() {
  return z
    .string({ error: 'a file is wanted' })
    .transform((file, context): FileCredentials => {
      try {
        return readCredentials(file);
      } catch (error) {
        context.addIssue({ code: 'custom', message: (error as Error).message });
        return z.NEVER;
      }
    })
    .optional()
    .describe('file with user:password for the coordination service, where users are checked');
}
