// The index of the generated types: a namespace for each package, and maps from full names to types, so that a codec or a service
// looked up by name is typed by it.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';

const { Namespace, Service, Type, Enum } = createRequire(import.meta.url)('protobufjs');

/** @returns the text of gen/types.ts, for the files that proto-loader's generator wrote to `folder` */
export function describeTypes(root, folder) {
  const packages = new Map();
  collect(root, (object) => {
    const packageName = object.parent.fullName.slice(1);
    if (!existsSync(path.join(folder, fileOf(object)))) return;
    const list = packages.get(packageName) ?? [];
    packages.set(packageName, [...list, object]);
  });
  const names = [...packages.keys()].sort();
  const all = names.flatMap((name) => packages.get(name));
  return [
    '// Generated from protos/ by tools/contracts/generate.mjs.',
    '/* eslint-disable */',
    "import type { BidiStream, ClientStream, ServerStream, Unary } from '../method-types';",
    ...names.map((name) => `import type * as ${namespaceOf(name)} from './${packageFile(name)}';`),
    `export type { ${names.map(namespaceOf).join(', ')} };`,
    '',
    '/** Every message by its full name: `input` is what may be sent, `output` what is received. */',
    'export interface MessageTypes {',
    ...all.filter((object) => object instanceof Type).map(messageEntry),
    '}',
    '',
    '/** Every method of every service, by full name of the service. */',
    'export interface ServiceTypes {',
    ...all.filter((object) => object instanceof Service).flatMap(serviceEntry),
    '}',
    '',
  ].join('\n');
}
