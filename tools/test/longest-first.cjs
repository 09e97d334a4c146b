'use strict';
const { default: Sequencer } = require('@jest/test-sequencer');

/**
 * End-to-end tests that take longest, the longest first, so that none of them is left at the end while nothing else is. Jest knows how long each took
 * only where it has run before, which a fresh clone has not: it would go by the sizes of files, which say nothing of it. All others come after
 * these, as jest has them.
 */
const LONGEST_FIRST = [
  'apps/cli/e2e/client',
  'apps/cli/e2e/up',
  'apps/consensus/e2e/tls',
  'apps/consensus/e2e/slow-member',
  'apps/mapreduce-master/e2e/jobs',
  'apps/consensus/e2e/data-format',
  'apps/consensus/e2e/consensus',
  'apps/cli/e2e/lifetime',
  'apps/consensus/e2e/etcdctl',
  'apps/consensus/e2e/harmed-disk',
  'apps/consensus/e2e/maintenance',
  'apps/consensus/e2e/upgrade',
];

module.exports = class extends Sequencer {
  sort(tests) {
    const place = ({ path }) => {
      const at = LONGEST_FIRST.findIndex((name) => path.endsWith(`/${name}.e2e.spec.ts`));
      return at < 0 ? LONGEST_FIRST.length : at;
    };
    return [...super.sort(tests)].sort((a, b) => place(a) - place(b));
  }
};
