import { asError } from './failure';

// Taken when the module loads, because a running world replaces the global one by a trap.
const nextTurn = setImmediate;

/** Steps queued per turn of the real event loop; more gain nothing. */
const STEPS_PER_TURN = 256;

/**
 * How promise jobs are run to their end between two steps; both give the same execution unless something real leaked in.
 *
 * `turning`, the default: Node empties its microtask queue between any two `setImmediate` callbacks, however long the chains of `await` are, so
 * queueing many callbacks per turn of the loop drains completely after each event, at a million events per second. A fixed number
 * of `await null` would not: continuations of longer chains would run after virtual time has moved, without any error.
 *
 * `frozen`: the event loop never turns during a run, so nothing real ever completes: no file, no socket, no thread. A seed whose digests
 * differ between the two has waited for the real world somewhere. Rests on an internal of Node, so it is for that comparison only.
 */
export type Drain = 'turning' | 'frozen';

/**
 * Calls `step` until it returns false, letting every promise job run to its end between two calls.
 * `stray` sees rejections that no node handles; what it throws, like what `step` throws, ends the drive.
 */
export function drive(drain: Drain, step: () => boolean, stray: (reason: unknown) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    let done = false;
    const finish = (settle: () => void): void => {
      done = true;
      process.off('unhandledRejection', rejected);
      settle();
    };
    const guarded = (work: () => void): void => {
      try {
        work();
      } catch (error) {
        finish(() => reject(asError(error)));
      }
    };
    const rejected = (reason: unknown): void => {
      if (!done) guarded(() => stray(reason));
    };
    const one = (): void => {
      if (done) return; // One of the rest of a batch that ended early.
      guarded(() => {
        if (!step()) finish(resolve);
      });
    };
    const turn = (): void => {
      if (done) return;
      for (let index = 0; index < STEPS_PER_TURN; index++) nextTurn(one);
      nextTurn(turn);
    };
    const freeze = (): void => {
      const drainNow = tickCallback();
      while (!done) {
        one();
        drainNow();
      }
    };
    process.on('unhandledRejection', rejected);
    // From a callback of the loop in any case: inside a promise job nothing can be drained.
    nextTurn(drain === 'turning' ? turn : () => guarded(freeze));
  });
}

/** What Node itself calls after every callback. */
function tickCallback(): () => void {
  const { _tickCallback: drainNow } = process as unknown as { readonly _tickCallback?: () => void };
  if (drainNow === undefined)
    throw new Error(`Node ${process.version} has no process._tickCallback: run without the frozen drain`);
  return drainNow;
}
