#!/usr/bin/env node
// Checks protos/: buf's lint rules, its formatting, and that nothing breaks who spoke the baseline. Exits 1 if any of them fails.
//   node tools/contracts/check.mjs [FOLDER]      all checks, of protos/ or of a copy of it
//   node tools/contracts/check.mjs --rebaseline  makes the present protos the baseline: at a release, after the checks have passed
import { buf, PROTOS } from './buf.mjs';

const [folder = PROTOS] = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
const BASELINE = 'baseline.binpb';
const CHECKS = [
  { name: 'lint', args: ['lint'] },
  { name: 'format', args: ['format', '--diff', '--exit-code'] },
  { name: 'breaking changes', args: ['breaking', '--against', BASELINE] },
];

if (process.argv.includes('--rebaseline')) buf(['build', '--exclude-source-info', '--output', BASELINE], folder);
const failed = CHECKS.filter(({ args }) => !passes(args)).map(({ name }) => name);
if (failed.length > 0) {
  process.stderr.write(`protos: ${failed.join(', ')} failed; see protos/synod/README.md for the conventions\n`);
  process.exitCode = 1;
}

/** What buf has to say goes to standard error. */
function passes(args) {
  try {
    buf(args, folder);
    return true;
  } catch (error) {
    if (error.stdout === undefined) throw error;
    process.stderr.write(error.stdout);
    return false;
  }
}
