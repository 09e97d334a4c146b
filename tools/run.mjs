#!/usr/bin/env node
// Starts one of the project's programs on a fresh machine with Node and npm alone: installs what the lockfile says if it is not
// there, generates the contracts, bundles what is needed, and runs it. Uses Node built-ins only, since nothing else may be there yet.
//   node tools/run.mjs demo|test|sim|bench [arguments …]
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { ensureBuilt, WORKSPACE } from './build/ensure.mjs';

/** What each program needs built, and the file that then runs. */
const PROGRAMS = {
  demo: { build: ['apps', 'tools/demo'], main: 'dist/tools/demo/main.js' },
  test: { build: ['apps', 'tools/simulator'], main: 'tools/test/main.mjs' },
  sim: { build: ['tools/simulator'], main: 'dist/tools/simulator/main.js' },
  bench: { build: ['apps', 'tools/bench'], main: 'dist/tools/bench/main.js' },
};

const [name, ...args] = process.argv.slice(2);
const program = PROGRAMS[name];
if (program === undefined) {
  process.stderr.write(`usage: run.mjs ${Object.keys(PROGRAMS).join('|')} [arguments …]\n`);
  process.exit(2);
}

if (!installed()) {
  process.stderr.write('installing the packages of package-lock.json …\n');
  const { status } = spawnSync('npm', ['ci'], { cwd: WORKSPACE, stdio: ['ignore', 2, 2] });
  if (status !== 0) {
    process.stderr.write('error: npm ci failed (see above)\n');
    process.exit(1);
  }
}
ensureBuilt(program.build);
run(program.main, args);

/** Whether node_modules holds what package-lock.json says: npm leaves its own copy of the lockfile there. */
function installed() {
  const wanted = packagesOf('package-lock.json');
  const present = packagesOf('node_modules/.package-lock.json');
  if (wanted === undefined || present === undefined) return false;
  return Object.entries(wanted).every(([folder, entry]) => {
    if (!folder.startsWith('node_modules/') && !folder.includes('/node_modules/')) return true;
    if (present[folder] === undefined) return entry.optional === true; // Another platform's binary.
    return present[folder].version === entry.version && present[folder].integrity === entry.integrity;
  });
}

/** What a lockfile lists; undefined if it is missing or damaged. */
function packagesOf(lockfile) {
  try {
    return JSON.parse(readFileSync(path.join(WORKSPACE, lockfile), 'utf8')).packages;
  } catch {
    return undefined;
  }
}

/** Runs the program in this one's place: signals go through, its exit code is ours. */
function run(main, mainArgs) {
  const child = spawn(process.execPath, ['--enable-source-maps', path.join(WORKSPACE, main), ...mainArgs], {
    stdio: 'inherit',
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('exit', (code, signal) => process.exit(code ?? (signal === null ? 1 : 128)));
}
