import protobuf from 'protobufjs';
import type { MessageTypes } from './gen/types';
import loaderOptions from './loader-options.json';
import { messageType } from './schema';

/**
 * How objects read from the wire look, as generated types and codecs both have it: 64-bit integers as decimal strings, enums as
 * their names, bytes as Buffers, unset scalar fields at their defaults and unset message fields null, and for each oneof a field
 * with its name that names the member that is set. Switch on that name: when a sender set two members, both are there.
 */
const CONVERSION = {
  longs: loaderOptions.longs === 'String' ? String : Number,
  enums: loaderOptions.enums === 'String' ? String : Number,
  defaults: loaderOptions.defaults,
  oneofs: loaderOptions.oneofs,
};

export interface MessageCodec<Input, Output> {
  /** @throws {Error} if a field has a value that its type cannot have */
  encode(message: Input): Buffer;
  /**
   * Fields of type bytes are views of `bytes`, not copies.
   * @throws {Error} on bytes that no message of this type can have
   */
  decode(bytes: Uint8Array): Output;
}

const codecs = new Map<string, MessageCodec<unknown, unknown>>();

/** The codec of one message type, by its full name, e.g. `synod.storage.v1.Row`. Cheap to ask for again. */
export function messageCodec<Name extends keyof MessageTypes>(
  name: Name,
): MessageCodec<MessageTypes[Name]['input'], MessageTypes[Name]['output']> {
  let codec = codecs.get(name);
  if (codec === undefined) {
    codec = createCodec(name);
    codecs.set(name, codec);
  }
  return codec as MessageCodec<MessageTypes[Name]['input'], MessageTypes[Name]['output']>;
}

function createCodec(name: string): MessageCodec<unknown, unknown> {
  const type = messageType(name);
  // The writer takes our objects as they are, but for the names of enums: only these are worth a converted copy of the whole message.
  const ready = namesEnum(type, new Set())
    ? (message: unknown) => type.fromObject(message as Record<string, unknown>)
    : (message: unknown) => message as protobuf.Message;
  return {
    encode: (message) => type.encode(ready(message)).finish() as Buffer,
    // From a Buffer protobufjs reads Buffers; from a plain Uint8Array it would read plain ones, which print and compare otherwise.
    decode: (bytes) => type.toObject(type.decode(asBuffer(bytes)), CONVERSION),
  };
}

/** Whether a message of the type can hold an enum, at any depth. */
function namesEnum(type: protobuf.Type, seen: Set<protobuf.Type>): boolean {
  if (seen.has(type)) return false;
  seen.add(type);
  return type.fieldsArray.some((field) => {
    const { resolvedType } = field.resolve();
    if (resolvedType === null) return false;
    return resolvedType instanceof protobuf.Enum || namesEnum(resolvedType, seen);
  });
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
