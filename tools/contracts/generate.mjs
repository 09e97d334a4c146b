#!/usr/bin/env node
// Generates libs/contracts/src/gen/ from protos/: TypeScript types of every message, the schema that the codecs are built from, and
// the descriptor set that reflection serves. Does nothing if protos/ and this generator have not changed since the last time.
//   node tools/contracts/generate.mjs [--force]
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { buf, PROTOS, WORKSPACE } from './buf.mjs';
import { typeIndex } from './type-index.mjs';

const require = createRequire(import.meta.url);
const GEN = path.join(WORKSPACE, 'libs/contracts/src/gen');
const STAMP = path.join(GEN, '.stamp');
const LOADER_OPTIONS = path.join(WORKSPACE, 'libs/contracts/src/loader-options.json');

const stamp = stampOf([
  ...filesBelow(PROTOS, '.proto'),
  ...filesBelow(import.meta.dirname, '.mjs'),
  LOADER_OPTIONS,
  require.resolve('@grpc/proto-loader/package.json'),
  require.resolve('protobufjs/package.json'),
]);
const upToDate = existsSync(STAMP) && readFileSync(STAMP, 'utf8') === stamp;
if (!upToDate || process.argv.includes('--force')) generate();

function generate() {
  // A folder of its own on the same disk, then one rename a file: whoever compiles meanwhile sees old files or new ones, never none.
  mkdirSync(GEN, { recursive: true });
  const fresh = mkdtempSync(path.join(WORKSPACE, 'node_modules/.synod-generate-'));
  try {
    writeTypes(fresh);
    const root = loadSchema();
    mkdirSync(path.join(fresh, 'packages'));
    for (const [name, text] of typeIndex(root)) writeFileSync(path.join(fresh, name), text);
    writeFileSync(path.join(fresh, 'schema.ts'), schemaModule(root));
    replaceTree(fresh, GEN);
    writeFileSync(STAMP, stamp);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

/** One file a message, by proto-loader's own generator with the options that the codecs decode with. */
function writeTypes(folder) {
  const { longs, enums, defaults, oneofs } = JSON.parse(readFileSync(LOADER_OPTIONS, 'utf8'));
  execFileSync(
    process.execPath,
    [
      require.resolve('@grpc/proto-loader/build/bin/proto-loader-gen-types.js'),
      `--longs=${longs}`,
      `--enums=${enums}`,
      ...(defaults ? ['--defaults'] : []),
      ...(oneofs ? ['--oneofs'] : []),
      '--includeDirs=.',
      '--grpcLib=@grpc/grpc-js',
      `--outDir=${folder}`,
      ...protoNames(),
    ],
    { cwd: PROTOS, stdio: ['ignore', 'ignore', 'inherit'] },
  );
  // One more file for each .proto, named after it alone: two areas with a file of the same name would overwrite each other's.
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isFile()) rmSync(path.join(folder, entry.name));
  }
}

/** The parsed protos, names in camel case as in the types. */
function loadSchema() {
  const { Root } = require('protobufjs');
  require('@grpc/proto-loader'); // Makes google/protobuf/*.proto known to protobufjs.
  const root = new Root();
  root.resolvePath = (_importer, name) => (name.startsWith('google/protobuf/') ? name : path.join(PROTOS, name));
  root.loadSync(protoNames());
  return root.resolveAll();
}

function schemaModule(root) {
  const descriptorSet = buf(['build', '--as-file-descriptor-set', '--output', '-']);
  return [
    '// Generated from protos/ by tools/contracts/generate.mjs.',
    '/** The schema in protobufjs JSON. Text, because parsing it takes a fraction of what an object literal does. */',
    `export const SCHEMA_JSON = ${JSON.stringify(JSON.stringify(root.toJSON()))};`,
    '/** A google.protobuf.FileDescriptorSet of every file and all its imports, in base64. */',
    `export const DESCRIPTOR_SET_BASE64 = '${descriptorSet.toString('base64')}';`,
    '',
  ].join('\n');
}

function protoNames() {
  return filesBelow(PROTOS, '.proto').map((file) => path.relative(PROTOS, file));
}

function filesBelow(folder, suffix) {
  return readdirSync(folder, { recursive: true })
    .filter((name) => name.endsWith(suffix))
    .sort()
    .map((name) => path.join(folder, name));
}

function stampOf(files) {
  const hash = createHash('sha256');
  for (const file of files)
    hash
      .update(`${path.relative(WORKSPACE, file)}\0`)
      .update(readFileSync(file))
      .update('\0');
  return hash.digest('hex');
}

/** Makes `target` hold exactly the files of `source`, each replaced at once. */
function replaceTree(source, target) {
  const wanted = new Set(filesBelow(source, '.ts').map((file) => path.relative(source, file)));
  for (const name of wanted) {
    mkdirSync(path.dirname(path.join(target, name)), { recursive: true });
    renameSync(path.join(source, name), path.join(target, name));
  }
  for (const file of filesBelow(target, '.ts')) {
    if (!wanted.has(path.relative(target, file))) rmSync(file);
  }
}
