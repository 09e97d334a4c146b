// The index of the generated types: a namespace for each package, and maps from full names to types, so that a codec or a service
// looked up by name is typed by it.
import { createRequire } from 'node:module';

const { Enum, Service, Type } = createRequire(import.meta.url)('protobufjs');

/** @returns the files of the index by name, for a schema whose types proto-loader's generator has written */
export function typeIndex(root) {
  const packages = byPackage(root);
  const index = new Map([['types.ts', indexModule(packages)]]);
  for (const [name, objects] of packages) index.set(`packages/${name}.ts`, packageModule(name, objects));
  return index;
}

/** What is declared at the top of each file, by package, in order of names. */
function byPackage(root) {
  const packages = new Map();
  const visit = (namespace) => {
    for (const object of namespace.nestedArray) {
      if (object instanceof Type || object instanceof Enum || object instanceof Service) {
        const name = namespace.fullName.slice(1);
        packages.set(name, [...(packages.get(name) ?? []), object]);
      } else if (object.nestedArray !== undefined) visit(object);
    }
  };
  visit(root);
  return new Map([...packages].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function packageModule(name, objects) {
  return lines([...objects.map((object) => `export type * from '../${name.replaceAll('.', '/')}/${object.name}';`)]);
}

function indexModule(packages) {
  const objects = [...packages.values()].flat();
  const names = [...packages.keys()];
  return lines([
    `import type { ${shapesOf(objects).join(', ')} } from '../method-types';`,
    ...names.map((name) => `import type * as ${namespaceOf(name)} from './packages/${name}';`),
    '',
    `export type { ${names.map(namespaceOf).join(', ')} };`,
    '',
    '/** Every message by its full name: `input` is what may be sent, `output` what is received. */',
    'export interface MessageTypes {',
    ...objects.filter((object) => object instanceof Type).flatMap(messageEntries),
    '}',
    '',
    '/** The methods of every service by its full name. */',
    'export interface ServiceTypes {',
    ...objects.filter((object) => object instanceof Service).flatMap(serviceEntry),
    '}',
  ]);
}

/** Of a message and of those declared inside it. */
function messageEntries(type) {
  const fullName = type.fullName.slice(1);
  const packageName = packageOf(type);
  const nested = type.parent instanceof Type;
  const local = `${namespaceOf(packageName)}.${nested ? `_${fullName.replaceAll('.', '_')}` : type.name}`;
  return [
    `  '${fullName}': { readonly input: ${local}; readonly output: ${local}__Output };`,
    ...type.nestedArray.filter((object) => object instanceof Type).flatMap(messageEntries),
  ];
}

function serviceEntry(service) {
  return [
    `  '${service.fullName.slice(1)}': {`,
    ...service.methodsArray.map((method) => {
      const [request, response] = [method.resolvedRequestType, method.resolvedResponseType].map(
        (type) => `MessageTypes['${type.fullName.slice(1)}']`,
      );
      return `    readonly ${method.name}: ${shapeOf(method)}<${request}, ${response}>;`;
    }),
    '  };',
  ];
}

/** Those in use: an import that nothing uses does not compile here. */
function shapesOf(objects) {
  const services = objects.filter((object) => object instanceof Service);
  return [...new Set(services.flatMap((service) => service.methodsArray.map(shapeOf)))].sort();
}

function shapeOf({ requestStream, responseStream }) {
  if (requestStream) return responseStream ? 'BidiStream' : 'ClientStream';
  return responseStream ? 'ServerStream' : 'Unary';
}

function packageOf(object) {
  return object.parent instanceof Type ? packageOf(object.parent) : object.parent.fullName.slice(1);
}

/** `synod.storage.v1` → `storageV1`, `etcdserverpb` → `etcdserverpb`. */
function namespaceOf(packageName) {
  const [last, area] = packageName.split('.').reverse();
  return /^v\d/.test(last) ? `${area}${last[0].toUpperCase()}${last.slice(1)}` : last;
}

function lines(content) {
  return ['// Generated from protos/ by tools/contracts/generate.mjs.', ...content, ''].join('\n');
}
