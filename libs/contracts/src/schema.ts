import protobuf from 'protobufjs';
import { SCHEMA_JSON } from './gen/schema';

let root: protobuf.Root | undefined;

/** The schema of protos/, built when it is first needed: a process that talks no protobuf does not pay for it. */
function schema(): protobuf.Root {
  // Without it protobufjs reads 64-bit integers as numbers, and silently loses what is above 2^53.
  if (protobuf.util.Long === undefined)
    throw new Error('the package "long" is missing; protobufjs needs it: run npm ci');
  root ??= protobuf.Root.fromJSON(JSON.parse(SCHEMA_JSON) as protobuf.INamespace);
  return root;
}

/** @throws {Error} if protos/ has no message of this full name */
export function messageType(name: string): protobuf.Type {
  return schema().lookupType(`.${name}`);
}

/** @throws {Error} if protos/ has no service of this full name */
export function serviceType(name: string): protobuf.Service {
  return schema().lookupService(`.${name}`);
}
