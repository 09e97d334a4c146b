import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { status } from '@grpc/grpc-js';
import {
  fileDescriptors,
  serviceDefinition,
  type MessageShape,
  type MethodDefinition,
  type ServiceName,
} from '@synod/contracts';
import type { InvariantViolation } from '@synod/invariant';
import type { Log } from '@synod/runtime';
import type { Address } from './address';
import type { CallContext } from './call-context';
import { CallGate, type CallPolicy, type Tracing } from './call-gate';
import type {
  AnyBidiHandler,
  AnyClientStreamHandler,
  AnyServerStreamHandler,
  AnyUnaryHandler,
  ServiceHandlers,
} from './handlers';
import { Health } from './health';
import { Http2Listener } from './http2-listener';
import { IncomingCall, timeoutMs } from './incoming-call';
import { DEFAULT_RPC_LIMITS, type RpcLimits } from './limits';
import { noObserver, type RpcObserver } from './observer';
import { Pages, type PageHandler } from './pages';
import { Reflection, REFLECTION_SERVICES } from './reflection';
import { finish, refuseUndecodable, ServedMethod, type ServeCall, type Undecodable } from './served-method';
import type { TlsMaterial } from './tls-files';

export interface GrpcServerOptions {
  readonly log: Log;
  /** Told of an invariant that a handler broke, after the client was answered INTERNAL: stop the process. */
  readonly fault: (error: InvariantViolation) => void;
  readonly observer?: RpcObserver;
  readonly limits?: Partial<RpcLimits>;
  /**
   * Whether handlers find the trace id of their call ambient, in `currentTraceId()`, and so in every log line and outgoing call of theirs,
   * or in their context alone. As soon as one server of a process has it ambient, every promise of that process costs more: Node 20
   * keeps track of each in JavaScript. Ambient by default.
   */
  readonly tracing?: Tracing;
  /** Answers what is no gRPC call, on the same ports, over HTTP/1.1 too; without it that is refused. */
  readonly pages?: PageHandler;
}

export interface ServiceOptions {
  /** For unary calls whose clients set no nearer deadline; Infinity for services whose calls wait by nature, such as locks. Streams have none. */
  readonly deadlineMsMax?: number;
  /** Of one message of a request; the server's bound by default. */
  readonly messageBytesMax?: number;
  /** For contracts that prescribe how bytes are refused that are not of the type which the method takes. */
  readonly undecodable?: Undecodable;
}

/** A unary call that is not done by then is stuck, not slow. */
const DEADLINE_MS_MAX = 60_000;
/** What clients are given to take note that the server is gone before their connections are cut. */
const FAREWELL_MS = 250;

type AnyDefinition = Readonly<Record<string, MethodDefinition<MessageShape, MessageShape>>>;
type AnyHandler = AnyUnaryHandler & AnyClientStreamHandler & AnyServerStreamHandler & AnyBidiHandler;

/** What is served under one path. */
interface Route {
  readonly serve: ServeCall;
  readonly messageBytesMax: number;
}

/**
 * A listening gRPC server. Every one serves health and reflection besides what is added to it, and treats all calls alike: bounded
 * concurrency, deadlines, trace ids, metrics, errors by the one table.
 */
export class GrpcServer {
  /** Every service that is added is serving until something says otherwise. */
  readonly health = new Health();
  private readonly listener: Http2Listener;
  private readonly gate: CallGate;
  private readonly pages: Pages | undefined;
  private readonly limits: RpcLimits;
  private readonly services = new Set<string>();
  private readonly routes = new Map<string, Route>();

  constructor(options: GrpcServerOptions) {
    this.limits = { ...DEFAULT_RPC_LIMITS, ...options.limits };
    const { log, observer = noObserver, fault, tracing = 'ambient' } = options;
    this.gate = new CallGate(this.limits, log, observer, fault, tracing);
    this.pages = options.pages && new Pages(options.pages);
    this.listener = new Http2Listener(this.limits, (stream, headers) => this.accept(stream, headers), this.pages);
    this.addService('grpc.health.v1.Health', this.health.handlers());
    // Made when somebody asks, which few do: to describe every file takes a tenth of all the time that a start takes.
    let reflection: Reflection | undefined;
    for (const name of REFLECTION_SERVICES) {
      this.addService(name, {
        ServerReflectionInfo: (questions, answers) => {
          reflection ??= new Reflection(fileDescriptors(), () => [...this.services]);
          return reflection.serve(questions, answers);
        },
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
  addStream(path: string, serve: (call: IncomingCall, context: CallContext) => Promise<void>): void {
    this.announce(path.slice(1, path.lastIndexOf('/')));
    const policy: CallPolicy = { method: path, stream: true, exempt: false, deadlineMsMax: Infinity };
    const serveCall: ServeCall = (call) => {
      void this.gate.run(call, policy, (context) => serve(call, context)).then((outcome) => finish(outcome, call));
    };
    this.register(path, { serve: serveCall, messageBytesMax: this.limits.messageBytesMax });
  }

  /**
   * Starts to listen; may be called for several addresses.
   * @param address `host:port`; port 0 picks a free one
   * @param tls with an identity; without it whoever connects is served in the clear
   * @returns the address with the port in use
   * @throws {SynodError} `unavailable`, naming the address, if it cannot be had
   */
  listen(address: string, tls?: TlsMaterial): Promise<Address> {
    return this.listener.listen(address, tls);
  }

  /**
   * Stops: health says NOT_SERVING and new calls are refused at once; calls being served get `drainMs`; then streams are ended with
   * UNAVAILABLE and connections closed.
   */
  async stop({ drainMs }: { readonly drainMs: number }): Promise<void> {
    this.health.end();
    await within(drainMs, this.gate.drain());
    this.gate.endStreams();
    await within(FAREWELL_MS, this.listener.close());
    this.listener.destroy();
  }

  private addMethod(definition: AnyDefinition[string], handler: AnyHandler, options: ServiceOptions): void {
    const { deadlineMsMax, messageBytesMax = this.limits.messageBytesMax, undecodable = refuseUndecodable } = options;
    const { path, requestStream, responseStream } = definition;
    const stream = requestStream || responseStream;
    const policy: CallPolicy = {
      method: path,
      stream,
      exempt: path.startsWith('/grpc.'),
      // A watch, or a long snapshot, is no call that is stuck.
      deadlineMsMax: stream ? Infinity : (deadlineMsMax ?? DEADLINE_MS_MAX),
    };
    const served = new ServedMethod(this.gate, policy, definition, this.limits, undecodable);
    const register = (serve: ServeCall): void => this.register(path, { serve, messageBytesMax });
    if (requestStream && responseStream) register(served.bidi(handler));
    else if (requestStream) register(served.clientStream(handler));
    else if (responseStream) register(served.serverStream(handler));
    else register(served.unary(handler));
  }

  private register(path: string, route: Route): void {
    if (this.routes.has(path)) throw new Error(`${path} is served twice`);
    this.routes.set(path, route);
  }

  /** A request came in on a connection. */
  private accept(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    // What becomes of a stream is heard by its end; without a listener an error of it would end the process.
    stream.on('error', ignored);
    if (headers['content-type']?.startsWith('application/grpc') !== true) return this.answerPage(stream, headers);
    const path = headers[':path'] ?? '';
    const timeout = timeoutMs(headers['grpc-timeout']);
    const route = this.routes.get(path);
    const { messageBytesMax } = route ?? this.limits;
    const call = new IncomingCall(stream, headers, messageBytesMax, Date.now() + (timeout ?? Infinity));
    if (timeout === undefined) {
      call.finish({ code: status.INTERNAL, details: 'grpc-timeout is malformed', metadata: {} });
    } else if (route === undefined) {
      call.finish({ code: status.UNIMPLEMENTED, details: this.unknown(path), metadata: {} });
    } else route.serve(call);
  }

  private answerPage(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const method = headers[':method'];
    if (this.pages !== undefined && (method === 'GET' || method === 'HEAD')) {
      void this.pages.serveStream(stream, headers);
      return;
    }
    stream.respond({ ':status': 415 }, { endStream: true });
    stream.resume();
  }

  /** In the words of grpc-go, which its clients may look for. */
  private unknown(path: string): string {
    const [, service, method] = /^\/(.*)\/([^/]*)$/.exec(path) ?? [];
    if (service === undefined) return `malformed method name: ${JSON.stringify(path)}`;
    return this.services.has(service)
      ? `unknown method ${method} for service ${service}`
      : `unknown service ${service}`;
  }

  private announce(service: string): void {
    if (this.services.has(service)) return;
    this.services.add(service);
    this.health.set(true, service);
  }
}

function ignored(): void {}

/** Waits for a promise, but not longer than that. */
async function within(ms: number, promise: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const time = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([promise, time]);
  clearTimeout(timer);
}
