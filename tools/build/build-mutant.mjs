#!/usr/bin/env node
// Bundles the simulator's seed runner with one source patch in it: a planted bug that no product path knows of.
//   node tools/build/build-mutant.mjs OUTFILE < {"name","file","find","replace"}
// Exits 1, naming the mutant, if `find` does not occur exactly once: a patch that no longer applies proves nothing.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { build } from 'esbuild';
import { bundleOptions, WORKSPACE } from './build.mjs';

const [outfile] = process.argv.slice(2);
const { name, file, find, replace } = JSON.parse(await text(process.stdin));
const target = path.join(WORKSPACE, file);

const patch = {
  name: 'plant-mutant',
  setup(bundle) {
    // No wider: each file that it fits costs a question.
    bundle.onLoad({ filter: new RegExp(`/${path.basename(target, '.ts')}\\.ts$`) }, ({ path: loaded }) => {
      if (loaded !== target) return undefined;
      return { contents: readFileSync(loaded, 'utf8').replace(find, () => replace), loader: 'ts' };
    });
  },
};

const occurrences = readFileSync(target, 'utf8').split(find).length - 1;
if (occurrences !== 1) {
  process.stderr.write(`mutant ${name} does not apply: its text occurs ${occurrences} times in ${file}, not once\n`);
  process.exit(1);
}
const { metafile } = await build(
  bundleOptions({
    entryPoints: [path.join(WORKSPACE, 'tools/simulator/src/seed-main.ts')],
    outfile,
    plugins: [patch],
    metafile: true,
  }),
);
if (metafile.inputs[file] === undefined) {
  process.stderr.write(`mutant ${name} patches ${file}, which is not part of the simulated cluster\n`);
  process.exit(1);
}
