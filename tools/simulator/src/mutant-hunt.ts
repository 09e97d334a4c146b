import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import type { Mutant } from './mutants';
import { runSeeds } from './seed-pool';
import type { RunSeed } from './sound-seeds';

/** A planted bug that survives so many seeds has found a hole in the checks. */
const SEEDS_MAX = 500;

/** This file is part of dist/tools/simulator/main.js. */
const WORKSPACE = path.resolve(__dirname, '../../..');

export interface Verdict {
  readonly caught: boolean;
  readonly by: 'invariant' | 'history' | undefined;
  /** For people: who caught it where, or why not. */
  readonly how: string;
}

/**
 * Plants a bug and runs seeds until an intended check catches it. The same seed must be clean without the bug.
 * @param sound runs a seed without any patch
 * @param recordedOnly try only the seed recorded for the mutant
 */
export async function hunt(mutant: Mutant, sound: RunSeed, recordedOnly: boolean): Promise<Verdict> {
  // Inside the workspace, so that the bundle finds its packages.
  const folder = mkdtempSync(path.join(WORKSPACE, 'dist/mutant-'));
  try {
    const program = path.join(folder, 'seed-main.js');
    const wrong = await plant(mutant, program);
    if (wrong !== undefined) return missed(wrong);
    const seeds = recordedOnly ? [mutant.seed] : [mutant.seed, ...upTo(SEEDS_MAX, mutant.seed)];
    let tried = 0;
    // A process of one seed ends before what V8 would optimize is worth it.
    const pool = recordedOnly ? { processes: 1, flags: ['--no-opt'] } : { processes: availableParallelism() };
    for await (const result of runSeeds(program, mutant.area, seeds, pool)) {
      tried++;
      if (result.fault === undefined) continue;
      if (result.fault.by !== 'invariant' && result.fault.by !== 'history') continue;
      if (!mutant.killedBy.includes(result.fault.name)) {
        return missed(
          `seed ${result.seed}: by ${result.fault.name}, which is not what should catch it: ${result.fault.message}`,
        );
      }
      const clean = await sound(mutant.area, result.seed);
      if (clean.fault !== undefined) return missed(`seed ${result.seed} fails without it too: ${clean.fault.message}`);
      const how = `by ${result.fault.name} (${result.fault.by}), seed ${result.seed}, ${tried} tried`;
      return { caught: true, by: result.fault.by, how };
    }
    return missed(`survived ${tried} seeds`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function missed(how: string): Verdict {
  return { caught: false, by: undefined, how };
}

/** @returns what is wrong with the patch, if it cannot be applied */
async function plant({ name, file, find, replace }: Mutant, outfile: string): Promise<string | undefined> {
  const builder = spawn(process.execPath, [path.join(WORKSPACE, 'tools/build/build-mutant.mjs'), outfile], {
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  const ended = new Promise<number | null>((resolve) => builder.on('close', resolve));
  builder.stdin.end(JSON.stringify({ name, file, find, replace }));
  const complaint = await text(builder.stderr);
  return (await ended) === 0 ? undefined : complaint.trim();
}

function* upTo(count: number, without: number): Generator<number> {
  for (let seed = 1; seed < count; seed++) if (seed !== without) yield seed;
}
