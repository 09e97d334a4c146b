import { readdirSync, readFileSync, existsSync } from 'node:fs';
import path from 'node:path';
import tseslint from 'typescript-eslint';

/** Layers from the bottom up; a project imports its own layer and those below, as said here. */
const MAY_IMPORT = {
  core: [],
  adapter: ['core', 'adapter'],
  kit: ['core', 'adapter', 'kit'],
  app: ['core', 'adapter', 'kit'],
  tool: ['core', 'adapter', 'kit', 'app'],
};
/** The one thing that cores share: how a broken invariant is said. */
const OPEN_TO_ALL = new Set(['invariant']);
/**
 * Only tests and tools may stand on the simulated world, make their own certificates, run programs, or wait by looking again and again; and which of these
 * stands on which other: nothing simulated on real time.
 */
const TEST_ONLY = new Map([
  ['simulation', []],
  ['test-authority', []],
  ['test-processes', ['eventually']],
  ['eventually', []],
]);

const projects = ['apps', 'libs', 'tools'].flatMap((folder) =>
  readdirSync(path.join(import.meta.dirname, folder), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(path.join(folder, entry.name, 'project.json')))
    .map((entry) => {
      const root = `${folder}/${entry.name}`;
      const { name, tags } = JSON.parse(readFileSync(path.join(import.meta.dirname, root, 'project.json'), 'utf8'));
      return { name, root, layer: tags.find((tag) => tag.startsWith('layer:')).slice('layer:'.length) };
    }),
);

const OUTSIDE_WORLD = [
  'Date',
  'performance',
  'process',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'queueMicrotask',
  'fetch',
];

/** Import rules of one project: the direction of the arrows. */
function boundaries({ name, root, layer }) {
  const allowed = MAY_IMPORT[layer];
  const forbidden = projects.filter(
    (other) =>
      other.name !== name &&
      other.root.startsWith('libs/') &&
      !OPEN_TO_ALL.has(other.name) &&
      (!allowed.includes(other.layer) ||
        (TEST_ONLY.has(other.name) && layer !== 'tool' && TEST_ONLY.get(name)?.includes(other.name) !== true)),
  );
  const patterns = [
    {
      group: forbidden.map((other) => `@synod/${other.name}`),
      message: `${root} is of layer ${layer}, which imports ${allowed.join(', ') || 'no other project'} only.`,
    },
    {
      regex: '^@synod/[^/]+/',
      message: 'Import a project by its name; what its index does not export is its own.',
    },
  ].filter(({ group }) => group === undefined || group.length > 0);
  if (layer !== 'tool') {
    patterns.push({
      regex: '^(\\.\\./)+(apps|libs|tools)/',
      message: 'Import another project by its @synod name, never by path.',
    });
    patterns.push({
      regex: '^(\\.\\./)+(?!src/|testdata/)[^./]+/src(/|$)',
      message: 'Import another project by its @synod name, never by path.',
    });
  }
  if (layer === 'core') {
    patterns.push({
      regex: '^(node:|@grpc/)',
      message: 'A protocol core does no I/O: take it as an input or return it as an effect.',
    });
  }
  return { patterns };
}

const ports = {
  'no-restricted-globals': ['error', ...OUTSIDE_WORLD.map((name) => ({ name, message: 'Comes in through a port.' }))],
  'no-restricted-properties': [
    'error',
    { object: 'Math', property: 'random', message: 'Comes in through the Random port.' },
  ],
};

export default tseslint.config(
  { ignores: ['dist/**', 'node_modules/**', '.nx/**', '.synod/**', '**/gen/**', '**/testdata/**', 'coverage/**'] },
  {
    files: ['**/*.ts'],
    extends: [...tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { project: './tsconfig.json', tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      '@typescript-eslint/require-await': 'off',
      eqeqeq: ['error', 'always', { null: 'ignore' }],
    },
  },
  ...projects.map((project) => ({
    files: [`${project.root}/**/*.ts`],
    rules: { 'no-restricted-imports': ['error', boundaries(project)] },
  })),
  // Specs, and what they share, may stand on the simulated world, whatever their project's layer.
  ...projects
    .filter(({ layer }) => layer !== 'core')
    .map((project) => ({
      files: [`${project.root}/**/*.spec.ts`, `${project.root}/**/testing/**/*.ts`, `${project.root}/e2e/**/*.ts`],
      rules: {
        'no-restricted-imports': [
          'error',
          {
            patterns: boundaries(project)
              .patterns.map((pattern) =>
                pattern.group === undefined
                  ? pattern
                  : { ...pattern, group: pattern.group.filter((name) => !TEST_ONLY.has(name.slice('@synod/'.length))) },
              )
              .filter(({ group }) => group === undefined || group.length > 0),
          },
        ],
      },
    })),
  {
    files: [
      ...projects.filter(({ layer }) => layer === 'core').map(({ root }) => `${root}/src/**/*.ts`),
      // Hosts are written against the ports, so that they run in the simulation unchanged.
      'libs/replication/src/**/*.ts',
      'libs/wal/src/**/*.ts',
      'libs/protocols/src/**/*.ts',
      'apps/*/src/node.ts',
    ],
    ignores: ['**/*.spec.ts'],
    rules: ports,
  },
  {
    files: ['**/*.spec.ts', '**/testing/**/*.ts'],
    rules: { '@typescript-eslint/no-non-null-assertion': 'off', '@typescript-eslint/unbound-method': 'off' },
  },
);
