import { InvariantViolation } from '@synod/invariant';
import { SynodError } from '@synod/runtime';
import { InfoRequested } from './config';
import { UsageError } from './usage-error';

/** How often a service looks whether who started it is still there. */
const PARENT_POLL_MS = 500;

/** What a running service is stopped by. */
export interface Running {
  /** Graceful end: hears nothing new, finishes what it can, closes what it holds. */
  stop(): Promise<void>;
}

/** What a service ends itself with to be started again in the same process: it has found out that it must go on from something else. */
export class StartAnew extends SynodError {
  constructor(why: string) {
    super('unavailable', why);
  }
}

/** A stop that takes longer is cut short: whoever asked will not wait for ever. */
const STOP_MS = 4_000;

/**
 * Runs a service's `main`: starts it, waits for SIGTERM or SIGINT or the end of its parent, stops it. What went wrong is one line on stderr;
 * exit code 2 for a wrong start, 1 for any other failure.
 * @param start builds everything; rejects if it cannot
 */
export async function runService(start: (end: (error: unknown) => void) => Promise<Running>): Promise<void> {
  let end: (error: unknown) => void = () => undefined;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => end(undefined));
  process.on('uncaughtException', (error) => end(error));
  process.on('unhandledRejection', (error) => end(error));
  watchParent(() => end(undefined));
  for (;;) {
    const ended = new Promise<unknown>((resolve) => (end = resolve));
    try {
      // An end during the start leaves nothing half built: the process goes at once.
      const running = await Promise.race([start(end), ended.then(() => undefined)]);
      const error = await ended;
      const isAnew = error instanceof StartAnew && running !== undefined;
      if (error !== undefined && !isAnew) process.exit(report(error));
      // Asked to end meanwhile, it does so when it has stopped. What fails then belongs to what is being ended.
      let endsAfterwards = !isAnew;
      end = (reason) => {
        endsAfterwards ||= reason === undefined;
      };
      const cutShort = setTimeout(() => {
        process.exit(report(new SynodError('unavailable', `could not stop within ${STOP_MS} ms; cut short`)));
      }, STOP_MS);
      cutShort.unref();
      await running?.stop();
      clearTimeout(cutShort);
      if (endsAfterwards) process.exit(0);
    } catch (error) {
      process.exit(report(error));
    }
  }
}

/** Says what went wrong. @returns the exit code */
function report(error: unknown): number {
  if (error instanceof InfoRequested) {
    process.stdout.write(error.text);
    return 0;
  }
  const expected = error instanceof UsageError || error instanceof SynodError;
  const text = error instanceof Error ? error.message : String(error);
  process.stderr.write(`error: ${text.replaceAll(/\s*\n\s*/g, ' ')}\n`);
  // A bug leaves its trace in the log, for whoever mends it; a refusal needs none.
  if (!expected && error instanceof Error)
    process.stderr.write(`${JSON.stringify({ level: 'error', stack: error.stack })}\n`);
  if (error instanceof InvariantViolation) process.stderr.write('error: stopped, so that nothing is built on it\n');
  return error instanceof UsageError ? 2 : 1;
}

/**
 * Calls `gone` when the process named by SYNOD_PARENT_PID is no longer the parent: it died, however it died. Polls, since nothing tells a
 * process of its parent's SIGKILL.
 */
function watchParent(gone: () => void): void {
  const parent = Number(process.env['SYNOD_PARENT_PID'] ?? '');
  if (!Number.isInteger(parent) || parent <= 0) return;
  const look = (): void => {
    if (process.ppid !== parent) gone();
  };
  look();
  setInterval(look, PARENT_POLL_MS).unref();
}
