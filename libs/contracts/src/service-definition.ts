import type { ServiceTypes } from './gen/types';
import type { MessageTypes } from './gen/types';
import { messageCodec, type MessageCodec } from './message-codec';
import type { MessageShape, MethodShape } from './method-types';
import { serviceType } from './schema';

/** What gRPC needs to know of a method; fits grpc-js's own `MethodDefinition`. */
export interface MethodDefinition<Request extends MessageShape, Response extends MessageShape> {
  /** `/package.Service/Method`. */
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly requestSerialize: (request: Request['input']) => Buffer;
  readonly requestDeserialize: (bytes: Buffer) => Request['output'];
  readonly responseSerialize: (response: Response['input']) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Response['output'];
}

export type ServiceName = keyof ServiceTypes;

/** The methods of a service by name, typed. */
export type ServiceDefinition<Name extends ServiceName> = {
  readonly [Method in keyof ServiceTypes[Name]]: ServiceTypes[Name][Method] extends MethodShape
    ? MethodDefinition<ServiceTypes[Name][Method]['request'], ServiceTypes[Name][Method]['response']>
    : never;
};

const definitions = new Map<string, Record<string, MethodDefinition<MessageShape, MessageShape>>>();

/** A service of protos/ by its full name, e.g. `etcdserverpb.KV`. Cheap to ask for again. */
export function serviceDefinition<Name extends ServiceName>(name: Name): ServiceDefinition<Name> {
  let definition = definitions.get(name);
  if (definition === undefined) {
    definition = createDefinition(name);
    definitions.set(name, definition);
  }
  return definition as ServiceDefinition<Name>;
}

function createDefinition(name: string): Record<string, MethodDefinition<MessageShape, MessageShape>> {
  return Object.fromEntries(
    serviceType(name).methodsArray.map((method) => {
      method.resolve();
      const request = codecOf(method.resolvedRequestType);
      const response = codecOf(method.resolvedResponseType);
      const definition: MethodDefinition<MessageShape, MessageShape> = {
        path: `/${name}/${method.name}`,
        requestStream: method.requestStream === true,
        responseStream: method.responseStream === true,
        requestSerialize: (message) => request.encode(message),
        requestDeserialize: (bytes) => request.decode(bytes),
        responseSerialize: (message) => response.encode(message),
        responseDeserialize: (bytes) => response.decode(bytes),
      };
      return [method.name, definition];
    }),
  );
}

function codecOf(type: { readonly fullName: string } | null): MessageCodec<unknown, unknown> {
  if (type === null) throw new Error('a method of the schema has a type that is not in it');
  return messageCodec(type.fullName.slice(1) as keyof MessageTypes);
}
