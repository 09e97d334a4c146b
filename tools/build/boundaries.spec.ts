import { execFileSync } from 'node:child_process';
import path from 'node:path';

/** What the import rules say of each planted file. */
function lint(files: readonly { filePath: string; text: string }[]): string[][] {
  const output = execFileSync(process.execPath, [path.join(__dirname, 'lint-imports.mjs')], {
    input: JSON.stringify(files),
    encoding: 'utf8',
  });
  return JSON.parse(output) as string[][];
}

const planted: readonly (readonly [name: string, filePath: string, text: string])[] = [
  [
    'a core that imports an adapter',
    'libs/paxos/src/planted.ts',
    "import { systemClock } from '@synod/runtime'; systemClock;",
  ],
  ['a core that imports another core', 'libs/paxos/src/planted.ts', "import { x } from '@synod/mapreduce'; x;"],
  [
    'a core that reaches for a Node module',
    'libs/paxos/src/planted.ts',
    "import { readFileSync } from 'node:fs'; readFileSync;",
  ],
  ['a core that reads the clock', 'libs/two-phase-commit/src/planted.ts', 'export const now = Date.now();'],
  ['a core that rolls dice', 'libs/mapreduce/src/planted.ts', 'export const die = Math.random();'],
  ['an adapter that imports a kit', 'libs/wal/src/planted.ts', "import { connect } from '@synod/client'; connect;"],
  [
    'a kit that stands on the simulated world',
    'libs/client/src/planted.ts',
    "import { World } from '@synod/simulation'; World;",
  ],
  [
    'an app that waits as tests do',
    'apps/cli/src/planted.ts',
    "import { eventually } from '@synod/eventually'; eventually;",
  ],
  [
    'a library of tests that runs programs without being meant to',
    'libs/test-authority/src/planted.ts',
    "import { finished } from '@synod/test-processes'; finished;",
  ],
  [
    'the simulated world that waits in real time',
    'libs/simulation/src/planted.ts',
    "import { eventually } from '@synod/eventually'; eventually;",
  ],
  ['an app that imports an app by path', 'apps/cli/src/planted.ts', "import { x } from '../../consensus/src/node'; x;"],
  [
    'a library that imports an app by path',
    'libs/client/src/planted.ts',
    "import { x } from '../../../apps/consensus/src/node'; x;",
  ],
  ['a relative import across libraries', 'libs/client/src/planted.ts', "import { x } from '../../wal/src/wal'; x;"],
  [
    'an import of what another project does not export',
    'apps/cli/src/planted.ts',
    "import { x } from '@synod/wal/src/wal'; x;",
  ],
  ['a replica host that reads the clock', 'libs/replication/src/planted.ts', 'export const now = Date.now();'],
  ['a service host that sets a timer', 'apps/consensus/src/node.ts', 'setTimeout(() => undefined, 1);'],
];

const innocent: typeof planted = [
  ['an app that imports a kit', 'apps/cli/src/planted.ts', "import { connect } from '@synod/client'; connect;"],
  ['a kit that imports a core', 'libs/replication/src/planted.ts', "import { Replica } from '@synod/paxos'; Replica;"],
  [
    'a core that says how an invariant broke',
    'libs/paxos/src/planted.ts',
    "import { invariant } from '@synod/invariant'; invariant;",
  ],
  [
    'a spec that stands on the simulated world',
    'libs/wal/src/planted.spec.ts',
    "import { World } from '@synod/simulation'; World;",
  ],
  [
    'programs of tests that are waited for',
    'libs/test-processes/src/planted.ts',
    "import { eventually } from '@synod/eventually'; eventually;",
  ],
  [
    'an end-to-end test that waits',
    'apps/cli/e2e/planted.ts',
    "import { eventually } from '@synod/eventually'; eventually;",
  ],
  [
    'the simulator that builds a service host',
    'tools/simulator/src/planted.ts',
    "import { x } from '../../../apps/consensus/src/node'; x;",
  ],
  ['a neighbour in the same project', 'libs/client/src/deep/planted.ts', "import { x } from '../routing'; x;"],
];

describe('the direction of the arrows', () => {
  const verdicts = lint([...planted, ...innocent].map(([, filePath, text]) => ({ filePath, text })));

  it.each(planted.map(([name], index) => [name, index] as const))('refuses %s', (_, index) => {
    expect(verdicts[index]).toHaveLength(1);
  });

  it.each(innocent.map(([name], index) => [name, index + planted.length] as const))('allows %s', (_, index) => {
    expect(verdicts[index]).toEqual([]);
  });
});
