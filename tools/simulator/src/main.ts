import { availableParallelism } from 'node:os';
import path from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { AREAS, type AreaName } from './areas';
import { Campaign } from './campaign';
import { hunt } from './mutant-hunt';
import { MUTANTS } from './mutants';
import { runSeeds, SeedProcess } from './seed-pool';
import type { SeedResult } from './seed-result';
import { SoundSeeds } from './sound-seeds';

/** The bundle of `seed-main.ts`, next to this one. */
const SEED_PROGRAM = path.join(__dirname, 'seed-main.js');

interface Options {
  readonly area?: AreaName;
  readonly seeds: number;
  readonly first: number;
  readonly seed?: number;
  readonly mutants?: boolean | readonly string[];
  readonly recorded?: boolean;
  readonly counts?: boolean;
  readonly trace?: boolean;
}

async function main(): Promise<void> {
  const program = new Command('sim')
    .description('Clusters on virtual time, each from one seed, under faults.')
    .addOption(
      new Option(
        '--area <area>',
        'what to simulate: the whole cluster, which is the default, or the consensus service alone; with --mutants: only those hunted there',
      ).choices(Object.keys(AREAS)),
    )
    .option('--seeds <count>', 'how many seeds to run', positive, 200)
    .option('--first <seed>', 'the first of them', whole, 1)
    .option('--seed <seed>', 'run this seed alone and print the digest of its trace', whole)
    .option('--trace', 'with --seed: print every line of the trace')
    .option('--mutants [name...]', 'plant each known bug in turn, or these, and see it caught')
    .option('--recorded', 'with --mutants: only on the seed recorded for each, which the unpatched build must pass')
    .option('--counts', 'end with one line, "N passed, N failed"')
    // Commander would end with 1, which means here that a seed failed.
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
    .parse();
  process.stdout.on('error', endOfOutput);
  const options = program.opts<Options>();
  if (options.seed !== undefined) return one(options.seed, options);
  const { passed, failed } = options.mutants !== undefined ? await mutants(options) : await campaign(options);
  if (options.counts === true) process.stdout.write(`${passed} passed, ${failed} failed\n`);
  process.exitCode = failed === 0 ? 0 : 1;
}

/** One seed in this process, so that it can be debugged. */
async function one(seed: number, options: Options): Promise<void> {
  const result = await AREAS[areaOf(options)].runSeed({
    seed,
    ...(options.trace === true ? { onTraceLine: (line: string) => void process.stdout.write(`${line}\n`) } : {}),
  });
  if (result.fault !== undefined) tellFailure(result, areaOf(options));
  const { acknowledged, unknown, events, virtualSeconds, cpuSeconds, digest } = result;
  process.stdout.write(
    `seed ${seed}: ${acknowledged} acknowledged, ${unknown} unknown, ${events} events in ${virtualSeconds.toFixed(1)} virtual s, ${cpuSeconds.toFixed(2)} CPU s\n`,
  );
  process.stdout.write(`digest ${digest}\n`);
  process.exitCode = result.fault === undefined ? 0 : 1;
}

async function campaign(options: Options): Promise<{ passed: number; failed: number }> {
  const area = areaOf(options);
  const { rareStates, rareStatesFromSeeds } = AREAS[area];
  const sum = new Campaign();
  const seeds = Array.from({ length: options.seeds }, (_, index) => options.first + index);
  for await (const result of runSeeds(SEED_PROGRAM, area, seeds, { processes: availableParallelism() })) {
    sum.add(result);
    if (result.fault !== undefined) tellFailure(result, areaOf(options));
    if (sum.seeds % 50 === 0)
      process.stderr.write(`${sum.seeds} of ${options.seeds} seeds, ${sum.failures.length} failed\n`);
  }
  process.stdout.write(`${sum.lines(rareStates).join('\n')}\n`);
  const missing = options.seeds >= rareStatesFromSeeds ? sum.neverReached(rareStates) : [];
  for (const state of missing) process.stdout.write(`FAILED: no seed reached the rare state ${state}\n`);
  const failed = sum.failures.length + missing.length;
  const named = sum.failures.map(({ seed, fault }) => `${seed} (${fault?.name ?? ''})`).join(', ');
  process.stdout.write(failed === 0 ? 'clean\n' : `FAILED: ${failed}${named === '' ? '' : `; seeds ${named}`}\n`);
  return { passed: sum.seeds - sum.failures.length, failed };
}

async function mutants(options: Options): Promise<{ passed: number; failed: number }> {
  let passed = 0;
  let byHistory = 0;
  const { area, mutants: names } = options;
  const wanted = MUTANTS.filter(
    (mutant) =>
      (area === undefined || mutant.area === area) && (typeof names !== 'object' || names.includes(mutant.name)),
  );
  const queue = wanted.values();
  const sound = new SoundSeeds();
  const hunts = async (): Promise<void> => {
    // One for many hunts, since it is warm after the first.
    const unpatched = new SeedProcess(SEED_PROGRAM);
    const runSound = sound.runOn(unpatched);
    for (const mutant of queue) {
      const verdict = await hunt(mutant, runSound, options.recorded === true);
      process.stdout.write(`${verdict.caught ? 'caught' : 'FAILED'}  ${mutant.name.padEnd(36)} ${verdict.how}\n`);
      if (verdict.caught) passed++;
      if (verdict.caught && verdict.by === 'history') byHistory++;
    }
    unpatched.kill();
  };
  // A hunt through many seeds has every processor busy by itself; one of a single seed has one.
  const atOnce = options.recorded === true ? availableParallelism() : 1;
  await Promise.all(Array.from({ length: atOnce }, hunts));
  const half = byHistory * 2 >= wanted.length;
  process.stdout.write(
    `${passed} of ${wanted.length} mutants caught, ${byHistory} of them from client histories alone${half ? '' : ': FEWER THAN HALF'}\n`,
  );
  return { passed, failed: wanted.length - passed + (half ? 0 : 1) };
}

function tellFailure({ seed, fault, trace }: SeedResult, area: AreaName): void {
  const last = trace.slice(-40).map((line) => `    ${line}\n`);
  process.stdout.write(
    `seed ${seed} FAILED: ${fault?.name ?? ''} (${fault?.by ?? ''}): ${fault?.message ?? ''}\n${last.join('')}  replay: npm run sim -- --area ${area} --seed ${seed} --trace\n`,
  );
}

function areaOf({ area = 'cluster' }: Options): AreaName {
  return area;
}

function whole(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new InvalidArgumentError('a whole number');
  return value;
}

/** No seeds at all would be clean. */
function positive(text: string): number {
  if (whole(text) === 0) throw new InvalidArgumentError('a whole number from 1 on');
  return whole(text);
}

/** A reader such as `head` that has had enough of a trace is no failure. */
function endOfOutput(error: NodeJS.ErrnoException): never {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
}

void main();
