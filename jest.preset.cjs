'use strict';
/** What every project's tests share: TypeScript through esbuild, and the `@synod/*` names of tsconfig.base.json. */
module.exports = {
  testEnvironment: 'node',
  // Only a hang is worth ending a test for: a busy machine may take many times what a quiet one does.
  testTimeout: 60_000,
  maxWorkers: 2,
  transform: { '^.+\\.ts$': '<rootDir>/tools/build/jest-transform.cjs' },
  moduleNameMapper: { '^@synod/([^/]+)$': '<rootDir>/libs/$1/src/index.ts' },
  moduleFileExtensions: ['ts', 'js', 'mjs', 'cjs', 'json', 'node'],
  testMatch: ['**/*.spec.ts'],
  testPathIgnorePatterns: ['/node_modules/', '/e2e/'],
  modulePathIgnorePatterns: ['<rootDir>/dist/', '<rootDir>/.nx/', '<rootDir>/.synod/'],
};
