import { status } from '@grpc/grpc-js';
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
import type { OutgoingCall } from './outgoing-call';

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
  const stream: BatchStream = {
    write: (bytes, left) => call?.write(bytes, left),
    end: () => call?.close(),
    breakOff: (reason) => {
      log.warn('a stream is broken off', { protocol: name, address, reason });
      clearTimeout(patience);
      call?.cancel();
    },
    batchSent: (messages, bytes) => observer.batchSent?.(name, messages, bytes),
    batchReceived: (messages, bytes) => observer.batchReceived?.(name, messages, bytes),
  };
  const connection = new BatchConnection(stream, protocol.up, protocol.down, channels.limits, fault);
  connection.attach(handler);
  // Without an answer a call would wait as long as the operating system retries a silent address: minutes.
  const patience = setTimeout(() => {
    call?.cancel();
    connection.ended(`no answer within ${channels.limits.dialTimeoutMs} ms`);
  }, channels.limits.dialTimeoutMs);
  let call: OutgoingCall | undefined;
  try {
    call = channels.dial(address, name, {
      answered: () => clearTimeout(patience),
      message: (bytes) => connection.arrived(bytes),
      ended: ({ code, details, refused }) => {
        clearTimeout(patience);
        if (code === status.OK) connection.ended(CLOSED_BY_OTHER);
        else connection.ended(`${status[code]}: ${details}`, refused);
      },
    });
  } catch (error) {
    clearTimeout(patience);
    setImmediate(() => connection.ended(error instanceof Error ? error.message : String(error)));
  }
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
