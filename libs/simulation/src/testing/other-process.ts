import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

/** What `main(argument)` of a module in this folder resolves to when another process runs it. */
export function inOtherProcess(module: string, argument: string): string {
  const printed = execFileSync(
    process.execPath,
    [join(__dirname, 'run.cjs'), join(__dirname, `${module}.ts`), argument],
    {
      encoding: 'utf8',
    },
  );
  return printed.trim();
}
