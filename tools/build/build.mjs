#!/usr/bin/env node
// Bundles a project: an app's `src/main.ts` and every `src/*-main.ts`, or a library's `src/index.ts`, into dist/<project>/.
// Packages stay outside the bundle: some find files next to themselves.
//   node tools/build/build.mjs apps/consensus [tools/demo …]     `apps` alone names them all
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

import { WORKSPACE } from './ensure.mjs';
export { WORKSPACE };

/** The esbuild options that every bundle of this workspace shares. */
export function bundleOptions(overrides) {
  return {
    absWorkingDir: WORKSPACE,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    packages: 'external',
    alias: Object.fromEntries(
      readdirSync(path.join(WORKSPACE, 'libs')).map((name) => [
        `@synod/${name}`,
        path.join(WORKSPACE, 'libs', name, 'src/index.ts'),
      ]),
    ),
    sourcemap: true,
    // Stack traces need names and lines, not the sources themselves: every process reads this file when it starts.
    sourcesContent: false,
    logLevel: 'warning',
    ...overrides,
  };
}

/** The entry files of a project folder, such as `apps/consensus`. */
export function entriesOf(project) {
  const source = path.join(WORKSPACE, project, 'src');
  const mains = readdirSync(source).filter((name) => name === 'main.ts' || name.endsWith('-main.ts'));
  return (mains.length > 0 ? mains : ['index.ts']).map((name) => path.join(source, name));
}

/** A folder of projects stands for each of them. */
function expand(folder) {
  if (existsSync(path.join(WORKSPACE, folder, 'project.json'))) return [folder];
  return readdirSync(path.join(WORKSPACE, folder))
    .map((name) => path.join(folder, name))
    .filter((project) => existsSync(path.join(WORKSPACE, project, 'project.json')));
}

export async function buildProject(project) {
  await build(bundleOptions({ entryPoints: entriesOf(project), outdir: path.join(WORKSPACE, 'dist', project) }));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const projects = process.argv.slice(2);
  if (projects.length === 0) {
    process.stderr.write('usage: build.mjs PROJECT-FOLDER …\n');
    process.exit(2);
  }
  for (const project of projects.flatMap(expand)) await buildProject(project);
}
