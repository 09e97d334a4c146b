'use strict';
// End-to-end tests: real processes, sockets and disks. They use the bundles in dist/, so `npm test` or `npx nx run-many -t build` comes first.
// Two files at once, since they often wait: each has ports and folders of its own.
module.exports = {
  ...require('./jest.preset.cjs'),
  rootDir: __dirname,
  testMatch: ['**/e2e/**/*.e2e.spec.ts'],
  testPathIgnorePatterns: ['/node_modules/'],
  testTimeout: 120_000,
  testSequencer: '<rootDir>/tools/test/longest-first.cjs',
};
