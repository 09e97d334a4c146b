'use strict';
// Strips types with esbuild: the typecheck target is what proves them, so a test run need not.
const { createHash } = require('node:crypto');
const { readFileSync } = require('node:fs');
const { transformSync, version } = require('esbuild');

/**
 * A test runs in a sandbox, where a look at a global costs a hundred times what it costs outside, and a simulation is made of such
 * looks: so each file takes these once. Not among them is what a test may replace: clocks, timers, `process`.
 */
const TAKEN_ONCE = [
  ...['Array', 'ArrayBuffer', 'BigInt', 'Boolean', 'Buffer', 'DataView', 'Error', 'Infinity', 'JSON', 'Map', 'Math'],
  ...['NaN', 'Number', 'Object', 'Promise', 'RangeError', 'Reflect', 'RegExp', 'Set', 'String', 'Symbol', 'TypeError'],
  ...['Uint8Array', 'WeakMap', 'WeakSet', 'expect'],
];

/** What a transformed file depends on, but for its source. */
const RECIPE = `${version}\0${readFileSync(__filename, 'utf8')}`;

module.exports = {
  process(source, filename) {
    const { code, map } = transformSync(source, {
      loader: 'ts',
      format: 'cjs',
      target: 'node20',
      sourcemap: true,
      sourcefile: filename,
      // The file is a block of its own, so that it may give one of these names to a thing of its own.
      banner: `'use strict'; const { ${TAKEN_ONCE.join(', ')} } = globalThis; {`,
      footer: '}',
    });
    return { code, map };
  },
  // Jest keeps what it adds to a file for coverage under the same key, and asks nobody again when its own settings are others.
  getCacheKey: (source, filename, { instrument, configString }) =>
    createHash('sha256')
      .update([RECIPE, String(instrument), configString, filename, source].join('\0'))
      .digest('hex'),
};
