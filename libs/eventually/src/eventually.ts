/** More than anything takes, also on a busy machine, and less than the 120 s that an end-to-end test has in all. */
const WITHIN_MS = 100_000;
const PAUSE_MS = 20;

/**
 * Looks for a fact until there is one.
 * @param what names it, in the error: "waited 100 s for …"
 * @param fact neither false nor undefined once it is so
 * @returns what was found
 * @throws {Error} if there is none after so long; what `fact` throws is thrown at once
 */
export async function eventually<T>(
  what: string,
  fact: () => T | Promise<T>,
  withinMs = WITHIN_MS,
): Promise<Exclude<T, false | undefined>> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const found = await fact();
    if (found !== false && found !== undefined) return found as Exclude<T, false | undefined>;
    if (performance.now() > deadline) throw new Error(`waited ${withinMs / 1_000} s for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

/** Whether something is done: for what is tried until it is. */
export function succeeds(attempt: Promise<unknown>): Promise<boolean> {
  return attempt.then(
    () => true,
    () => false,
  );
}
