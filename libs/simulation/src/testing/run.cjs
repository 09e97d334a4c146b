'use strict';
// Bundles a TypeScript module, as the simulator is, and prints what its `main(argument)` resolves to: for facts about another process.
const { join, resolve } = require('node:path');
const { buildSync } = require('esbuild');

const root = join(__dirname, '..', '..', '..', '..');
const [entry, argument] = process.argv.slice(2);
const { outputFiles } = buildSync({
  entryPoints: [resolve(entry)],
  bundle: true,
  write: false,
  platform: 'node',
  format: 'cjs',
  packages: 'external',
  tsconfig: join(root, 'tsconfig.base.json'),
  logLevel: 'error',
});
const built = new module.constructor(join(root, 'bundle.cjs'), module);
built.paths = module.paths;
built._compile(outputFiles[0].text, join(root, 'bundle.cjs'));
built.exports.main(argument).then((text) => console.log(text));
