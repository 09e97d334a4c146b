/** The command was not understood: exit code 2. */
export class UsageError extends Error {}

/** What a failure is called on stderr: one line, no stack trace. */
export function lineOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return `error: ${text.replaceAll(/\s*\n\s*/g, ' ').trim()}\n`;
}

export function exitCodeOf(error: unknown): 1 | 2 {
  return error instanceof UsageError ? 2 : 1;
}

/** What becomes of a command whose output cannot be written: a reader such as `head` that has had enough is no failure. */
export function endOfOutput(error: NodeJS.ErrnoException): never {
  if (error.code === 'EPIPE') process.exit(0);
  process.stderr.write(lineOf(new Error(`the output cannot be written: ${error.message}`)));
  process.exit(1);
}
