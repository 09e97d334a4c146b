// Serving.
export { GrpcServer, type GrpcServerOptions, type ServiceOptions } from './grpc-server';
export type { Undecodable } from './served-method';
export type { Handler, ResponseWriter, ServiceHandlers } from './handlers';
export type { CallContext } from './call-context';
export type { Health } from './health';
export { Pages, type PageAnswer, type PageHandler } from './pages';
// Calling.
export {
  GrpcChannels,
  type CallOptions,
  type ChannelTls,
  type ClientStream,
  type StreamHandler,
  type UnaryOptions,
} from './channels';
// The Transport port.
export { grpcTransport, type GrpcTransportOptions } from './grpc-transport';
// What both ends share.
export { TlsMaterial, type NamedFile, type TlsFiles } from './tls-files';
export { formatAddress, isLoopback, parseAddress, type Address } from './address';
export { formatUrl, parseEndpoint, type Endpoint } from './endpoint';
export { failureOf, StatusError, statusOf, type RequestFailure } from './error-table';
export { status } from '@grpc/grpc-js';
export { DEFAULT_RPC_LIMITS, type RpcLimits } from './limits';
export { noObserver, type RpcObserver } from './observer';
export { currentTraceId, TRACE_ID_KEY, withTraceId } from './trace';
