// Taken when the module loads, because a running world replaces the global one by a trap.
const nextTurn = setImmediate;

/** Steps queued per turn of the real event loop; more gain nothing. */
const STEPS_PER_TURN = 256;

/**
 * Calls `step` until it returns false, letting every promise job run to its end between two calls.
 *
 * Node empties its microtask queue between any two `setImmediate` callbacks, however long the chains of `await` are: so queueing
 * many callbacks per turn of the loop gives a complete drain after each event at a million events per second. A fixed number of
 * `await null` would not: continuations of longer chains would run after virtual time has moved, without any error.
 *
 * `stray` sees rejections that no node handles; what it throws, like what `step` throws, ends the drive.
 */
export function drive(step: () => boolean, stray: (reason: unknown) => void): Promise<void> {
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
        finish(() => reject(error as Error));
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
    process.on('unhandledRejection', rejected);
    nextTurn(turn);
  });
}
