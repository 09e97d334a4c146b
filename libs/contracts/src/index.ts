// The contracts of protos/, as generated. Types by package: `import type { storageV1, etcdserverpb } from '@synod/contracts'`.
export type * from './gen/types';
export type { BidiStream, ClientStream, MessageShape, MethodShape, ServerStream, Unary } from './method-types';
// Messages to bytes and back.
export { messageCodec, type MessageCodec } from './message-codec';
// Services, as gRPC wants them.
export {
  serviceDefinition,
  type MethodDefinition,
  type ServiceDefinition,
  type ServiceName,
} from './service-definition';
// The files themselves, for reflection.
export { fileDescriptors, type FileDescriptor } from './file-descriptors';
export { required } from './required';
export { wireInt64 } from './wire-int64';
