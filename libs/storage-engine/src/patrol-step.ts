import { SynodError } from '@synod/runtime';
import { currentHead, lookAtStoreFile } from './store-file';
import { TreeCheck } from './tree-check';

/** How long it keeps the event loop, which others need meanwhile. */
const STEP_MS = 2;
/** A head is read while another may be written: what is harmed is so whenever it is looked at. */
const LOOKS = 3;

/**
 * Looks at some of the data's pages, in the newest version.
 * @param from where they begin; undefined for the first
 * @returns where the next ones begin; undefined after the last
 * @throws {SynodError} as `checkStoreFile`
 */
export function checkPagesFrom(folder: string, from: Buffer | undefined): Buffer | undefined {
  for (let look = 1; ; look++) {
    try {
      return lookAtStoreFile(folder, (file) => {
        const head = currentHead(file);
        const until = performance.now() + STEP_MS;
        for (const next of new TreeCheck(file, head, head.data).steps(from))
          if (next !== undefined && performance.now() >= until) return Buffer.from(next);
        return undefined;
      });
    } catch (error) {
      if (look === LOOKS || !(error instanceof SynodError)) throw error;
    }
  }
}
