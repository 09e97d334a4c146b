import protobuf from 'protobufjs';
import 'protobufjs/ext/descriptor';
import { DESCRIPTOR_SET_BASE64 } from './gen/schema';

/** A .proto file as protoc describes it, with what a reflection service is asked about it. */
export interface FileDescriptor {
  /** As imported by other files, e.g. `synod/storage/v1/storage.proto`. */
  readonly name: string;
  readonly dependencies: readonly string[];
  /** Full names of everything declared in it: messages, enums, fields, oneofs, services, methods, extensions. */
  readonly symbols: readonly string[];
  /** Full names of its services. */
  readonly services: readonly string[];
  /** The serialized google.protobuf.FileDescriptorProto, byte for byte as buf made it. */
  readonly bytes: Buffer;
}

let files: readonly FileDescriptor[] | undefined;

/** Every file of protos/ and everything they import. */
export function fileDescriptors(): readonly FileDescriptor[] {
  files ??= [...entriesOf(Buffer.from(DESCRIPTOR_SET_BASE64, 'base64'))].map(describe);
  return files;
}

/** The serialized files of a google.protobuf.FileDescriptorSet: `repeated FileDescriptorProto file = 1`. */
function* entriesOf(set: Buffer): Iterable<Buffer> {
  const reader = protobuf.Reader.create(set);
  while (reader.pos < reader.len) {
    reader.uint32();
    yield Buffer.from(reader.bytes());
  }
}

interface Named {
  readonly name?: string;
}
interface MessageDescriptor extends Named {
  readonly field?: readonly Named[];
  readonly oneofDecl?: readonly Named[];
  readonly nestedType?: readonly MessageDescriptor[];
  readonly enumType?: readonly Named[];
  readonly extension?: readonly Named[];
}
interface DecodedFile extends Named {
  readonly package?: string;
  readonly dependency?: readonly string[];
  readonly messageType?: readonly MessageDescriptor[];
  readonly enumType?: readonly Named[];
  readonly extension?: readonly Named[];
  readonly service?: readonly (Named & { readonly method?: readonly Named[] })[];
}

function describe(bytes: Buffer): FileDescriptor {
  const decoded = fileDescriptorType().decode(bytes) as DecodedFile;
  const inPackage = (named: Named): string => joined(decoded.package, named);
  const services = decoded.service ?? [];
  return {
    name: decoded.name ?? '',
    dependencies: decoded.dependency ?? [],
    symbols: [
      ...(decoded.messageType ?? []).flatMap((message) => symbolsOf(message, decoded.package)),
      ...[...(decoded.enumType ?? []), ...(decoded.extension ?? [])].map(inPackage),
      ...services.flatMap((service) => [
        inPackage(service),
        ...(service.method ?? []).map((method) => joined(inPackage(service), method)),
      ]),
    ],
    services: services.map(inPackage),
    bytes,
  };
}

function symbolsOf(message: MessageDescriptor, scope: string | undefined): string[] {
  const name = joined(scope, message);
  const { field = [], oneofDecl = [], nestedType = [], enumType = [], extension = [] } = message;
  return [
    name,
    ...[...field, ...oneofDecl, ...enumType, ...extension].map((member) => joined(name, member)),
    ...nestedType.flatMap((nested) => symbolsOf(nested, name)),
  ];
}

function joined(scope: string | undefined, { name = '' }: Named): string {
  return scope === undefined || scope === '' ? name : `${scope}.${name}`;
}

function fileDescriptorType(): protobuf.Type {
  const root = (protobuf as unknown as { descriptor: protobuf.Namespace }).descriptor;
  return root.lookupType('FileDescriptorProto');
}
