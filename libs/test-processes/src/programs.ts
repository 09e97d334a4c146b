import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { finished, type Finished, type RunOptions } from './finished';

/** Of the repository. */
export const WORKSPACE = path.resolve(__dirname, '../../..');

/** The file of a program as it is built. @param app its folder below `apps` */
export function builtProgram(app: string, file = 'main.js'): string {
  const program = path.join(WORKSPACE, 'dist/apps', app, file);
  if (!existsSync(program)) throw new Error(`${program} is missing: run npx nx run-many -t build first`);
  return program;
}

/** Runs `synod …` to its end. */
export function synod(args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  return finished(process.execPath, [builtProgram('cli'), ...args], options);
}

/** Tests that need a program which not every machine has; where it is missing, says that they are not run. */
export function whereInstalled(program: string, what: string, tests: () => void): void {
  if (spawnSync(program, ['--version'], { stdio: 'ignore' }).error === undefined) return describe(what, tests);
  process.stdout.write(`not run: ${what} (needs ${program})\n`);
  it.todo(`needs ${program}`); // A file without a test is an error.
}
