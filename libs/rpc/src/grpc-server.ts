import { Server, ServerCredentials, type ServerDuplexStream, type UntypedHandleCall } from '@grpc/grpc-js';
import {
  fileDescriptors,
  serviceDefinition,
  type MessageShape,
  type MethodDefinition,
  type ServiceName,
} from '@synod/contracts';
import type { InvariantViolation } from '@synod/invariant';
import { SynodError, type Log } from '@synod/runtime';
import { formatAddress, parseAddress, type Address } from './address';
import type { CallContext } from './call-context';
import { CallGate, type CallPolicy } from './call-gate';
import type {
  AnyBidiHandler,
  AnyClientStreamHandler,
  AnyServerStreamHandler,
  AnyUnaryHandler,
  ServiceHandlers,
} from './handlers';
import { Health } from './health';
import { DEFAULT_RPC_LIMITS, type RpcLimits } from './limits';
import { quietGrpc } from './quiet-grpc';
import { noObserver, type RpcObserver } from './observer';
import { Reflection, REFLECTION_SERVICES } from './reflection';
import { finish, ServedMethod } from './served-method';
import { RenewedServerCredentials } from './tls-credentials';
import type { TlsMaterial } from './tls-files';

export interface GrpcServerOptions {
  readonly log: Log;
  /** Told of an invariant that a handler broke, after the client was answered INTERNAL: stop the process. */
  readonly fault: (error: InvariantViolation) => void;
  readonly observer?: RpcObserver;
  readonly limits?: Partial<RpcLimits>;
}

export interface ServiceOptions {
  /** For unary calls whose clients set no nearer deadline; Infinity for services whose calls wait by nature, such as locks. */
  readonly deadlineMsMax?: number;
}

/** A unary call that is not done by then is stuck, not slow. */
const DEADLINE_MS_MAX = 60_000;
/** What clients are given to take note that the server is gone before their connections are cut. */
const FAREWELL_MS = 250;

type AnyDefinition = Readonly<Record<string, MethodDefinition<MessageShape, MessageShape>>>;
type AnyHandler = AnyUnaryHandler & AnyClientStreamHandler & AnyServerStreamHandler & AnyBidiHandler;

/**
 * A listening gRPC server. Every one serves health and reflection besides what is added to it, and treats all calls alike: bounded
 * concurrency, deadlines, trace ids, metrics, errors by the one table.
 */
export class GrpcServer {
  /** Every service that is added is serving until something says otherwise. */
  readonly health = new Health();
  private readonly server: Server;
  private readonly gate: CallGate;
  private readonly limits: RpcLimits;
  private readonly services = new Set<string>();
  private readonly paths = new Set<string>();

  constructor(options: GrpcServerOptions) {
    quietGrpc();
    this.limits = { ...DEFAULT_RPC_LIMITS, ...options.limits };
    this.gate = new CallGate(this.limits, options.log, options.observer ?? noObserver, options.fault);
    this.server = new Server({
      'grpc.max_receive_message_length': this.limits.messageBytesMax,
      'grpc.keepalive_time_ms': this.limits.keepaliveTimeMs,
      'grpc.keepalive_timeout_ms': this.limits.keepaliveTimeoutMs,
    });
    this.addService('grpc.health.v1.Health', this.health.handlers());
    const reflection = new Reflection(fileDescriptors(), () => [...this.services]);
    for (const name of REFLECTION_SERVICES) {
      this.addService(name, {
        ServerReflectionInfo: (questions, answers) => reflection.serve(questions, answers),
      });
    }
  }

  /**
   * Serves a service of protos/. Methods without a handler are answered UNIMPLEMENTED, except those that `addStream` serves.
   * @throws {Error} if one of the methods is served already
   */
  addService<Name extends ServiceName>(
    name: Name,
    handlers: ServiceHandlers<Name>,
    options: ServiceOptions = {},
  ): void {
    this.announce(name);
    const definition: AnyDefinition = serviceDefinition(name);
    for (const [method, handler] of Object.entries(handlers)) {
      const found = definition[method];
      if (found === undefined) throw new Error(`${name} has no method ${method}`);
      this.addMethod(found, handler as AnyHandler, options);
    }
  }

  /**
   * Serves one bidirectional method as a stream of bytes, whoever else serves the rest of its service. The call ends with `serve`.
   * @param path `/package.Service/Method`
   */
  addStream(
    path: string,
    serve: (call: ServerDuplexStream<Buffer, Buffer>, context: CallContext) => Promise<void>,
  ): void {
    this.announce(path.slice(1, path.lastIndexOf('/')));
    const policy: CallPolicy = { method: path, stream: true, exempt: false, deadlineMsMax: Infinity };
    const handler = (call: ServerDuplexStream<Buffer, Buffer>): void => {
      void this.gate.run(call, policy, (context) => serve(call, context)).then((outcome) => finish(outcome, call));
    };
    this.register(path, 'bidi', handler);
  }

  /**
   * Starts to listen; may be called for several addresses.
   * @param address `host:port`; port 0 picks a free one
   * @param tls with an identity; without it whoever connects is served in the clear
   * @returns the address with the port in use
   * @throws {SynodError} `unavailable`, naming the address, if it cannot be had
   */
  async listen(address: string, tls?: TlsMaterial): Promise<Address> {
    const { host } = parseAddress(address);
    const credentials = tls === undefined ? ServerCredentials.createInsecure() : new RenewedServerCredentials(tls);
    const port = await new Promise<number>((resolve, reject) => {
      this.server.bindAsync(address, credentials, (error, bound) => {
        if (error === null) resolve(bound);
        else reject(listenError(address, error));
      });
    });
    return { host, port };
  }

  /**
   * Stops: health says NOT_SERVING and new calls are refused at once; calls being served get `drainMs`; then streams are ended with
   * UNAVAILABLE and connections closed.
   */
  async stop({ drainMs }: { readonly drainMs: number }): Promise<void> {
    this.health.end();
    await within(drainMs, this.gate.drain());
    this.gate.endStreams();
    const closed = new Promise<void>((resolve) => this.server.tryShutdown(() => resolve()));
    await within(FAREWELL_MS, closed);
    this.server.forceShutdown();
  }

  private addMethod(definition: AnyDefinition[string], handler: AnyHandler, { deadlineMsMax }: ServiceOptions): void {
    const { path, requestStream, responseStream } = definition;
    const policy: CallPolicy = {
      method: path,
      stream: requestStream || responseStream,
      exempt: path.startsWith('/grpc.'),
      deadlineMsMax: deadlineMsMax ?? DEADLINE_MS_MAX,
    };
    const served = new ServedMethod(this.gate, policy, definition, this.limits);
    if (requestStream && responseStream) this.register(path, 'bidi', served.bidi(handler));
    else if (requestStream) this.register(path, 'clientStream', served.clientStream(handler));
    else if (responseStream) this.register(path, 'serverStream', served.serverStream(handler));
    else this.register(path, 'unary', served.unary(handler));
  }

  private register(path: string, type: string, handler: UntypedHandleCall): void {
    const untouched = (bytes: Buffer): Buffer => bytes;
    if (this.paths.has(path)) throw new Error(`${path} is served twice`);
    this.paths.add(path);
    this.server.register<Buffer, Buffer>(path, handler, untouched, untouched, type);
  }

  private announce(service: string): void {
    if (this.services.has(service)) return;
    this.services.add(service);
    this.health.set(true, service);
  }
}

function listenError(address: string, cause: Error): SynodError {
  const { host, port } = parseAddress(address);
  const reason = /EADDRINUSE/.test(cause.message)
    ? `port ${port} is in use; stop what uses it or listen on another`
    : /EADDRNOTAVAIL|ENOTFOUND|Name resolution failed/.test(cause.message)
      ? `${host} is not an address of this machine`
      : /EACCES/.test(cause.message)
        ? `this user may not use port ${port}`
        : cause.message;
  return new SynodError('unavailable', `cannot listen on ${formatAddress({ host, port })}: ${reason}`, { cause });
}

/** Waits for a promise, but not longer than that. */
async function within(ms: number, promise: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const time = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([promise, time]);
  clearTimeout(timer);
}
