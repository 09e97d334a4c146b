#!/usr/bin/env node
// What `npm test` runs, in a fresh clone and in continuous integration alike: style, types, contracts, unit tests, the simulation,
// its mutants, and the end-to-end tests. Ends with one line, `N passed, N failed`; what could not run is named before it.
//   npm test [-- STAGE …]     stages: lint format typecheck contracts unit simulation mutants e2e
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { WORKSPACE } from '../build/ensure.mjs';

const SIMULATION_SEEDS = 200;
const scratch = mkdtempSync(path.join(tmpdir(), 'synod-test-'));

/** Runs a command to its end. @returns its exit code and what it printed; printed here too, as it comes */
function run(command, args) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: WORKSPACE,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, FORCE_COLOR: '0', TMPDIR: scratch },
    });
    let output = '';
    const take = (chunk) => {
      output += chunk;
      process.stdout.write(chunk);
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.on('close', (code) => resolve({ code: code ?? 1, output }));
  });
}

const bin = (name) => path.join(WORKSPACE, 'node_modules/.bin', name);

/** A stage that is one check: it holds or it does not. */
async function check(command, args) {
  const { code } = await run(command, args);
  return { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, notRun: [] };
}

/** A stage of jest tests, each counted. A file that does not even load is a failure. */
async function jest(name, args) {
  const report = path.join(scratch, `${name}.json`);
  const { code, output } = await run(bin('jest'), ['--json', `--outputFile=${report}`, '--ci', ...args]);
  const notRun = [...output.matchAll(/^\s*(not run: .+)$/gm)].map((match) => match[1]);
  try {
    const { numPassedTests, numFailedTests, numRuntimeErrorTestSuites, success } = JSON.parse(
      readFileSync(report, 'utf8'),
    );
    const failed = numFailedTests + numRuntimeErrorTestSuites;
    return { passed: numPassedTests, failed: success ? failed : Math.max(1, failed), notRun };
  } catch {
    return { passed: 0, failed: code === 0 ? 0 : 1, notRun };
  }
}

/** A stage of the simulator, which ends with its own counts. */
async function simulator(args) {
  const { code, output } = await run(process.execPath, [
    '--enable-source-maps',
    'dist/tools/simulator/main.js',
    ...args,
  ]);
  const counts = /^(\d+) passed, (\d+) failed$/m.exec(output);
  if (counts === null) return { passed: 0, failed: 1, notRun: [] };
  const failed = Number(counts[2]);
  return { passed: Number(counts[1]), failed: code === 0 ? failed : Math.max(1, failed), notRun: [] };
}

const STAGES = {
  lint: () => check(bin('eslint'), ['--max-warnings', '0', '.']),
  format: () => check(bin('prettier'), ['--check', '--log-level', 'warn', '.']),
  typecheck: () => check(process.execPath, ['node_modules/ts7/bin/tsc', '--noEmit', '-p', 'tsconfig.json']),
  contracts: () => check(process.execPath, ['tools/contracts/check.mjs']),
  unit: () => jest('unit', ['--config', 'jest.config.cjs']),
  simulation: () => simulator(['--seeds', String(SIMULATION_SEEDS), '--counts']),
  mutants: () => simulator(['--mutants', '--recorded', '--counts']),
  e2e: () => jest('e2e', ['--config', 'jest.e2e.config.cjs', '--runInBand']),
};

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => STAGES[name] === undefined);
if (unknown.length > 0) {
  process.stderr.write(`unknown stage ${unknown[0]}; one of ${Object.keys(STAGES).join(', ')}\n`);
  process.exit(2);
}

const total = { passed: 0, failed: 0, notRun: [] };
const summary = [];
for (const [name, stage] of Object.entries(STAGES)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const startedAt = performance.now();
  process.stdout.write(`\n== ${name}\n`);
  const { passed, failed, notRun } = await stage();
  total.passed += passed;
  total.failed += failed;
  total.notRun.push(...notRun);
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
  summary.push(
    `${name.padEnd(12)} ${String(passed).padStart(5)} passed ${String(failed).padStart(4)} failed ${seconds.padStart(5)} s`,
  );
}
rmSync(scratch, { recursive: true, force: true });

process.stdout.write(`\n${summary.join('\n')}\n`);
for (const line of new Set(total.notRun)) process.stdout.write(`${line}\n`);
process.stdout.write(`${total.passed} passed, ${total.failed} failed\n`);
process.exit(total.failed === 0 && total.passed > 0 ? 0 : 1);
