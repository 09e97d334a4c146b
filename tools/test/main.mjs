#!/usr/bin/env node
// What `npm test` runs, in a fresh clone and in continuous integration alike: style, types, contracts, unit tests, the simulation,
// its mutants, and the end-to-end tests. Two lanes at once, so that what computes fills the time in which processes are waited for; for
// the same reason two files of end-to-end tests run at once.
// Ends with one line, `N passed, N failed`; what could not run is named before it.
//   npm test [-- STAGE …]     stages: lint format typecheck contracts unit simulation mutants e2e
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { WORKSPACE } from '../build/ensure.mjs';

/** By area. */
const SIMULATION_SEEDS = { cluster: 200, consensus: 120 };
/** A stage that takes longer hangs, also on a busy machine: it fails, and what it printed says how far it came. */
const STAGE_MINUTES_MAX = 25;
/** What goes on for so long after the end of a stage was left behind by it: a process that holds its output, or a wait that has no end. */
const REMAINS_SECONDS_MAX = 20;

/** Process groups of the commands that run now. */
const running = new Set();

/**
 * Runs a command to its end.
 * @param report a file that it writes when all is done but to exit
 * @returns its exit code and what it printed; 1 if it had no end, or left something behind
 */
function run(command, args, { onLine = () => undefined, report = undefined } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: WORKSPACE,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, FORCE_COLOR: '0', TMPDIR: scratch },
      detached: true, // A group of its own, so that all of it can be ended.
    });
    running.add(child.pid);
    let output = '';
    let line = '';
    const take = (chunk) => {
      output += chunk;
      const lines = (line + chunk).split('\n');
      line = lines.pop();
      lines.forEach(onLine);
    };
    const end = (code, complaint) => {
      clearTimeout(limit);
      clearInterval(watch);
      running.delete(child.pid);
      if (complaint !== undefined) killGroup(child.pid);
      resolve({ code, output: complaint === undefined ? output : `${output}\nFAILED: ${complaint}\n` });
    };
    const limit = setTimeout(() => end(1, `no end after ${STAGE_MINUTES_MAX} minutes`), STAGE_MINUTES_MAX * 60_000);
    const reported = () => report !== undefined && existsSync(report);
    let waited = 0;
    const watch = setInterval(() => {
      if (reported() && ++waited > REMAINS_SECONDS_MAX)
        end(1, 'its tests are over, and something keeps it from its end');
    }, 1000);
    child.stdout.setEncoding('utf8').on('data', take);
    child.stderr.setEncoding('utf8').on('data', take);
    child.on('exit', () => {
      const heldOpen = setTimeout(() => end(1, 'a process is left that holds its output'), REMAINS_SECONDS_MAX * 1000);
      child.on('close', (code) => {
        clearTimeout(heldOpen);
        end(code ?? 1);
      });
    });
  });
}

function killGroup(pid) {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Nothing of it is left.
  }
}

const bin = (name) => path.join(WORKSPACE, 'node_modules/.bin', name);

/** A stage that is one check: it holds or it does not. */
async function check(command, args) {
  const { code, output } = await run(command, args);
  return { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, notRun: [], output };
}

/** A stage of jest tests, each counted. A file that does not even load is a failure. */
async function jest(name, args) {
  const report = path.join(scratch, `${name}.json`);
  const onLine = (line) => {
    const file = /^(?:PASS|FAIL) .+/.exec(line);
    if (file !== null) process.stdout.write(`-- ${name}: ${file[0]}\n`);
  };
  const { code, output } = await run(bin('jest'), ['--json', `--outputFile=${report}`, '--ci', ...args], {
    onLine,
    report,
  });
  const notRun = [...output.matchAll(/^\s*(not run: .+)$/gm)].map((match) => match[1]);
  try {
    const { numPassedTests, numFailedTests, numRuntimeErrorTestSuites, success } = JSON.parse(
      readFileSync(report, 'utf8'),
    );
    const failed = numFailedTests + numRuntimeErrorTestSuites;
    return { passed: numPassedTests, failed: success && code === 0 ? failed : Math.max(1, failed), notRun, output };
  } catch {
    return { passed: 0, failed: 1, notRun, output };
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
  if (counts === null) return { passed: 0, failed: 1, notRun: [], output };
  const failed = Number(counts[2]);
  return { passed: Number(counts[1]), failed: code === 0 ? failed : Math.max(1, failed), notRun: [], output };
}

/** Seeds of every area, one after the other. */
async function simulation() {
  const total = { passed: 0, failed: 0, notRun: [], output: '' };
  for (const [area, seeds] of Object.entries(SIMULATION_SEEDS)) {
    const { passed, failed, output } = await simulator(['--area', area, '--seeds', String(seeds), '--counts']);
    total.passed += passed;
    total.failed += failed;
    total.output += output;
  }
  return total;
}

const STAGES = {
  lint: () => check(bin('eslint'), ['--max-warnings', '0', '.']),
  format: () => check(bin('prettier'), ['--check', '--log-level', 'warn', '.']),
  typecheck: () => check(process.execPath, ['node_modules/ts7/bin/tsc', '--noEmit', '-p', 'tsconfig.json']),
  contracts: () => check(process.execPath, ['tools/contracts/check.mjs']),
  unit: () => jest('unit', ['--config', 'jest.config.cjs']),
  simulation,
  mutants: () => simulator(['--mutants', '--recorded', '--counts']),
  e2e: () => jest('e2e', ['--config', 'jest.e2e.config.cjs']),
};

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => STAGES[name] === undefined);
if (unknown.length > 0) {
  process.stderr.write(`unknown stage ${unknown[0]}; one of ${Object.keys(STAGES).join(', ')}\n`);
  process.exit(2);
}

/** Of everything that the stages make. */
const scratch = mkdtempSync(path.join(tmpdir(), 'synod-test-'));

/** End-to-end tests are over first: of what is then left in the other lane, each has two processors busy by itself. */
const LANES = [['e2e'], ['lint', 'format', 'typecheck', 'contracts', 'unit', 'mutants', 'simulation']];
const total = { passed: 0, failed: 0, notRun: [] };
const rows = new Map();

/** Runs stages one after the other. What each printed is shown in one piece when it ends, so that lanes do not mix. */
async function runLane(names) {
  for (const name of names) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    process.stdout.write(`-- ${name} begins\n`);
    const startedAt = performance.now();
    const { passed, failed, notRun, output } = await STAGES[name]();
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
    process.stdout.write(`\n== ${name}\n${output}\n`);
    total.passed += passed;
    total.failed += failed;
    total.notRun.push(...notRun);
    const [ok, bad] = [String(passed).padStart(5), String(failed).padStart(4)];
    rows.set(name, `${name.padEnd(12)} ${ok} passed ${bad} failed ${seconds.padStart(5)} s`);
  }
}

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    for (const pid of running) killGroup(pid);
    rmSync(scratch, { recursive: true, force: true });
    process.exit(1);
  });
}

await Promise.all(LANES.map(runLane));
rmSync(scratch, { recursive: true, force: true });

const summary = Object.keys(STAGES).flatMap((name) => rows.get(name) ?? []);
process.stdout.write(`\n${summary.join('\n')}\n`);
for (const line of new Set(total.notRun)) process.stdout.write(`${line}\n`);
process.stdout.write(`${total.passed} passed, ${total.failed} failed\n`);
process.exit(total.failed === 0 && total.passed > 0 ? 0 : 1);
