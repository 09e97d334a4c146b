// Bundles projects only when a source is newer than their last bundle. Uses Node built-ins only, so that it can say what is missing.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';

export const WORKSPACE = path.resolve(import.meta.dirname, '../..');

/** What a bundle depends on. */
const SOURCES = ['apps', 'libs', 'protos', 'tools', 'package-lock.json', 'tsconfig.base.json'];

/**
 * Generates the contracts and bundles `projects` (folders such as `apps` or `tools/demo`) unless that is done. Ends the process with
 * one line on stderr if it cannot be. Output of the tools goes to stderr: stdout belongs to the program.
 */
export function ensureBuilt(projects) {
  const stamp = path.join(WORKSPACE, 'dist', `.built-${projects.join('+').replaceAll('/', '-')}`);
  const builtAt = modified(stamp);
  if (builtAt !== undefined && newest(SOURCES.map((name) => path.join(WORKSPACE, name))) <= builtAt) return;
  rmSync(stamp, { force: true });
  // Taken before the build: a source changed during it is newer.
  const startedAt = new Date();
  step(['tools/contracts/generate.mjs']);
  step(['tools/build/build.mjs', ...projects]);
  mkdirSync(path.dirname(stamp), { recursive: true });
  writeFileSync(stamp, `${startedAt.toISOString()}\n`);
}

function step(args) {
  const { status } = spawnSync(process.execPath, args, { cwd: WORKSPACE, stdio: ['ignore', 2, 2] });
  if (status === 0) return;
  process.stderr.write(`error: node ${args.join(' ')} failed (see above); run "npm ci" in ${WORKSPACE} first\n`);
  process.exit(1);
}

function modified(file) {
  try {
    return statSync(file).mtimeMs;
  } catch {
    return undefined;
  }
}

/** The latest modification below some files and folders; generated files do not count. */
function newest(roots) {
  let latest = 0;
  for (const root of roots) {
    const entry = statSync(root, { throwIfNoEntry: false });
    if (entry === undefined) continue;
    if (!entry.isDirectory()) latest = Math.max(latest, entry.mtimeMs);
    else {
      const inside = readdirSync(root).filter((name) => name !== 'gen' && name !== 'node_modules');
      latest = Math.max(latest, newest(inside.map((name) => path.join(root, name))));
    }
  }
  return latest;
}
