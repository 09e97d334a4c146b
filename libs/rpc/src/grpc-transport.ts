import { status, type ServiceError } from '@grpc/grpc-js';
import {
  SynodError,
  type Connection,
  type ConnectionHandler,
  type Log,
  type Protocol,
  type Transport,
} from '@synod/runtime';
import { BatchConnection, type BatchStream } from './batch-connection';
import type { CallContext } from './call-context';
import type { GrpcChannels } from './channels';
import type { GrpcServer } from './grpc-server';
import type { IncomingCall } from './incoming-call';
import { noObserver, type RpcObserver } from './observer';

export interface GrpcTransportOptions {
  /** Where to dial. Transports with channels of their own have connections of their own. */
  readonly channels: GrpcChannels;
  /** Where `serve` registers protocols; a transport without one only dials. */
  readonly server?: GrpcServer;
  readonly log: Log;
  /** Told of an error that a handler or a codec threw: a bug of the host, so stop the process. */
  readonly fault: (error: unknown) => void;
  readonly observer?: RpcObserver;
}

/** What grpc-js says when the other machine answered that nobody listens there. */
const REFUSED = /^No connection established\..*\bECONNREFUSED\b/;

/** Why a conversation ended that neither end meant to fail. */
const CLOSED_BY_OTHER = 'the other end closed';

/** The `Transport` port over bidirectional gRPC streams: a protocol's name is its method, and each stream message one batch. */
export function grpcTransport(options: GrpcTransportOptions): Transport {
  const observer = options.observer ?? noObserver;
  return {
    connect: (protocol, address, handler) => dial(options, observer, protocol, address, handler),
    serve: (protocol, accept) => {
      if (options.server === undefined)
        throw new Error(`${protocol.name} cannot be served: this transport has no server`);
      options.server.addStream(protocol.name, (call, context) =>
        serve(options, observer, protocol, accept, call, context),
      );
    },
  };
}

function dial<Up, Down>(
  { channels, log, fault }: GrpcTransportOptions,
  observer: RpcObserver,
  protocol: Protocol<Up, Down>,
  address: string,
  handler: ConnectionHandler<Down>,
): Connection<Up> {
  const { name } = protocol;
  let call;
  try {
    call = channels.openBytes(address, name);
  } catch (error) {
    setImmediate(() => handler.closed(error instanceof Error ? error.message : String(error)));
    return { send: () => false, close: () => undefined };
  }
  const stream: BatchStream = {
    write: (bytes, left) => call.write(bytes, left),
    end: () => call.end(),
    breakOff: (reason) => {
      log.warn('a stream is broken off', { protocol: name, address, reason });
      call.cancel();
    },
    batchSent: (messages, bytes) => observer.batchSent?.(name, messages, bytes),
    batchReceived: (messages, bytes) => observer.batchReceived?.(name, messages, bytes),
  };
  const connection = new BatchConnection(stream, protocol.up, protocol.down, channels.limits, fault);
  connection.attach(handler);
  // Without an answer a call would wait as long as the operating system retries a silent address: minutes.
  const patience = setTimeout(() => {
    call.cancel();
    connection.ended(`no answer within ${channels.limits.dialTimeoutMs} ms`);
  }, channels.limits.dialTimeoutMs);
  call.on('metadata', () => clearTimeout(patience));
  call.on('data', (bytes: Buffer) => connection.arrived(bytes));
  call.on('error', (error: ServiceError) => {
    clearTimeout(patience);
    connection.ended(`${status[error.code] ?? error.code}: ${error.details}`, REFUSED.test(error.details));
  });
  call.on('status', ({ code }) => {
    clearTimeout(patience);
    if (code === status.OK) connection.ended(CLOSED_BY_OTHER);
  });
  return connection;
}

function serve<Up, Down>(
  { channels, log, fault }: GrpcTransportOptions,
  observer: RpcObserver,
  protocol: Protocol<Up, Down>,
  accept: (connection: Connection<Down>) => ConnectionHandler<Up>,
  call: IncomingCall,
  context: CallContext,
): Promise<void> {
  const { name } = protocol;
  return new Promise<void>((resolve, reject) => {
    const stream: BatchStream = {
      write: (bytes, left) => call.write(bytes, left),
      end: resolve,
      breakOff: (reason) => {
        log.warn('a stream is broken off', { protocol: name, peer: context.peer, reason });
        reject(new SynodError('invalid-argument', reason));
      },
      batchSent: (messages, bytes) => observer.batchSent?.(name, messages, bytes),
      batchReceived: (messages, bytes) => observer.batchReceived?.(name, messages, bytes),
    };
    const connection = new BatchConnection(stream, protocol.down, protocol.up, channels.limits, fault);
    // Sent at once: the dialler takes it as the answer to its dial.
    call.respond();
    try {
      connection.attach(accept(connection));
    } catch (error) {
      fault(error);
      reject(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    call.receive({
      message: (bytes) => connection.arrived(bytes),
      ended: () => {
        connection.ended(CLOSED_BY_OTHER);
        resolve();
      },
    });
    context.signal.addEventListener('abort', () => connection.ended((context.signal.reason as Error).message), {
      once: true,
    });
  });
}
