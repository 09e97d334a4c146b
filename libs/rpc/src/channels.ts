import {
  ChannelCredentials,
  Client,
  Metadata,
  status,
  type ClientDuplexStream,
  type ServiceError,
  type StatusObject,
} from '@grpc/grpc-js';
import type { MessageShape, MethodDefinition } from '@synod/contracts';
import { SynodError } from '@synod/runtime';
import { parseAddress } from './address';
import { callError, type CallKind } from './error-table';
import { DEFAULT_RPC_LIMITS, type RpcLimits } from './limits';
import { Http2Dialler } from './http2-dialler';
import type { CallEvents, OutgoingCall } from './outgoing-call';
import { quietGrpc } from './quiet-grpc';
import { OutgoingQueue } from './outgoing-queue';
import { RenewedChannelCredentials } from './tls-credentials';
import type { TlsMaterial } from './tls-files';
import { currentTraceId, TRACE_ID_KEY } from './trace';

export interface CallOptions extends Partial<CallKind> {
  /** Metadata of the request. The trace id of the request being served goes along by itself. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Cancels the call. */
  readonly signal?: AbortSignal;
}

export interface UnaryOptions extends CallOptions {
  readonly deadlineMs: number;
}

/** What the owner of a client stream does with what arrives. */
export interface StreamHandler<T> {
  receive(message: T): void;
  /**
   * Called once, when the stream ends for any reason but this end's own `close`; nothing arrives afterwards.
   * @param error absent if the server ended it without one
   */
  closed(error: SynodError | undefined): void;
}

/** This end of a bidirectional stream. */
export interface ClientStream<T> {
  /** @returns false if the stream is closed or its queue full: then the message was certainly not sent */
  send(message: T): boolean;
  /** Ends the stream from this side, without a word to its handler. Idempotent. */
  close(): void;
}

/** Which calls of a set of channels go over TLS. */
export interface ChannelTls {
  readonly material: TlsMaterial;
  /** By `/package.Service/Method`; every call if absent. */
  readonly covers?: (path: string) => boolean;
}

const untouched = (bytes: Buffer): Buffer => bytes;

/**
 * Connections to other nodes: one for each address, opened at the first call and opened again by itself, 50–250 ms after it broke. Two
 * instances share nothing, so bulk on one never delays what is urgent on the other.
 */
export class GrpcChannels {
  readonly limits: RpcLimits;
  private readonly clients = new Map<string, Client>();
  private readonly dialler: Http2Dialler;
  private readonly plain = ChannelCredentials.createInsecure();
  private readonly secure: ChannelCredentials | undefined;

  /** @param tls with what to prove oneself and whom to trust; what it does not cover is sent in the clear */
  constructor(
    limits: Partial<RpcLimits> = {},
    private readonly tls?: ChannelTls,
  ) {
    quietGrpc();
    this.limits = { ...DEFAULT_RPC_LIMITS, ...limits };
    this.dialler = new Http2Dialler(this.limits);
    this.secure = tls === undefined ? undefined : new RenewedChannelCredentials(tls.material);
  }

  /**
   * Calls a unary method once; nothing is ever sent twice.
   * @throws {SynodError} as the server said, or by the status; `outcome-unknown` when it may have taken effect, and always for a deadline
   *   that passed; `unavailable` when it certainly did not, or when `idempotent` says that this makes no difference
   */
  async callUnary<Request extends MessageShape, Response extends MessageShape>(
    address: string,
    method: MethodDefinition<Request, Response>,
    request: Request['input'],
    options: UnaryOptions,
  ): Promise<Response['output']> {
    const bytes = encoded(method, request);
    const client = this.client(address, method.path);
    const deadline = Date.now() + options.deadlineMs;
    const answer = await new Promise<Buffer>((resolve, reject) => {
      const call = client.makeUnaryRequest(
        method.path,
        untouched,
        untouched,
        bytes,
        requestMetadata(options),
        { deadline },
        (error: ServiceError | null, response?: Buffer) => {
          if (error !== null) reject(callError(error, address, kindOf(options)));
          else resolve(response ?? Buffer.alloc(0));
        },
      );
      cancelOn(options.signal, call);
    });
    return decoded(method, answer, address);
  }

  /** Calls a method that answers with a stream, at the reader's pace. Leaving the loop cancels the call. Throws as `callUnary`. */
  async *callServerStream<Request extends MessageShape, Response extends MessageShape>(
    address: string,
    method: MethodDefinition<Request, Response>,
    request: Request['input'],
    options: CallOptions & { readonly deadlineMs?: number },
  ): AsyncGenerator<Response['output'], void, undefined> {
    const { deadlineMs = Infinity } = options;
    const call = this.client(address, method.path).makeServerStreamRequest(
      method.path,
      untouched,
      untouched,
      encoded(method, request),
      requestMetadata(options),
      { deadline: deadlineMs === Infinity ? Infinity : Date.now() + deadlineMs },
    );
    cancelOn(options.signal, call);
    try {
      for await (const bytes of call) yield decoded(method, bytes as Buffer, address);
    } catch (error) {
      throw isStatus(error) ? callError(error, address, kindOf(options)) : error;
    } finally {
      call.cancel();
      call.on('error', () => undefined); // The cancellation is reported too, to nobody.
    }
  }

  /** Opens a bidirectional stream. Returns at once; messages wait until the other end is reached. */
  openStream<Request extends MessageShape, Response extends MessageShape>(
    address: string,
    method: MethodDefinition<Request, Response>,
    handler: StreamHandler<Response['output']>,
    options: CallOptions = {},
  ): ClientStream<Request['input']> {
    const call = this.openBytes(address, method.path, requestMetadata(options));
    cancelOn(options.signal, call);
    const queue = new OutgoingQueue(call, this.limits);
    let open = true;
    const end = (error: SynodError | undefined): void => {
      if (!open) return;
      open = false;
      queue.close();
      handler.closed(error);
    };
    call.on('data', (bytes: Buffer) => {
      if (!open) return;
      let message: Response['output'];
      try {
        message = decoded(method, bytes, address);
      } catch (error) {
        call.cancel();
        end(error as SynodError);
        return;
      }
      handler.receive(message);
    });
    call.on('error', (error: ServiceError) => end(callError(error, address, kindOf(options))));
    call.on('status', ({ code }: StatusObject) => {
      if (code === status.OK) end(undefined);
    });
    return {
      send: (message) => {
        if (!open || !queue.hasRoom) return false;
        queue.push(encoded(method, message), 1);
        return true;
      },
      close: () => {
        if (!open) return;
        open = false;
        queue.close();
        call.end();
      },
    };
  }

  /**
   * A stream between nodes, for transports: over a connection that is not made again by itself.
   * @param path `/package.Service/Method`
   * @throws {SynodError} `invalid-argument` for what is no address
   */
  dial(address: string, path: string, events: CallEvents): OutgoingCall {
    return this.dialler.open(address, path, this.covers(path) ? this.tls?.material : undefined, events);
  }

  /**
   * A bidirectional stream of bytes.
   * @param path `/package.Service/Method`
   */
  openBytes(address: string, path: string, metadata = new Metadata()): ClientDuplexStream<Buffer, Buffer> {
    return this.client(address, path).makeBidiStreamRequest(path, untouched, untouched, metadata);
  }

  /** Closes every connection; calls in flight fail. */
  close(): void {
    for (const client of this.clients.values()) client.close();
    this.clients.clear();
    this.dialler.close();
  }

  private covers(path: string): boolean {
    return this.tls?.covers?.(path) ?? true;
  }

  private client(address: string, path: string): Client {
    const credentials = (this.covers(path) ? this.secure : undefined) ?? this.plain;
    const key = `${credentials === this.plain ? 'http' : 'https'}://${address}`;
    let client = this.clients.get(key);
    if (client === undefined) {
      parseAddress(address); // gRPC would take other forms too, such as unix: paths.
      client = new Client(address, credentials, {
        'grpc.max_receive_message_length': this.limits.messageBytesMax,
        'grpc.keepalive_time_ms': this.limits.keepaliveTimeMs,
        'grpc.keepalive_timeout_ms': this.limits.keepaliveTimeoutMs,
        'grpc.initial_reconnect_backoff_ms': this.limits.reconnectMinMs,
        'grpc.max_reconnect_backoff_ms': this.limits.reconnectMaxMs,
        // A node that moved is looked for at once, not after 30 s.
        'grpc.dns_min_time_between_resolutions_ms': 1_000,
        // Whether a repeat is harmless is for the caller to know.
        'grpc.enable_retries': 0,
        // Else it keeps the first MiB of every stream for a retry, and calls written what is only kept.
        'grpc.per_rpc_retry_buffer_size': 0,
        'grpc.use_local_subchannel_pool': 1,
        'grpc.service_config_disable_resolution': 1,
        'grpc.enable_http_proxy': 0,
        'grpc.enable_channelz': 0,
      });
      this.clients.set(key, client);
    }
    return client;
  }
}

function encoded<Input>(
  method: { readonly path: string; readonly requestSerialize: (request: Input) => Buffer },
  request: Input,
): Buffer {
  try {
    return method.requestSerialize(request);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SynodError('invalid-argument', `a request to ${method.path} cannot be encoded: ${reason}`, { cause });
  }
}

function decoded<Output>(
  method: { readonly path: string; readonly responseDeserialize: (bytes: Buffer) => Output },
  bytes: Buffer,
  address: string,
): Output {
  try {
    return method.responseDeserialize(bytes);
  } catch (cause) {
    throw new SynodError('outcome-unknown', `${address} answered ${method.path} with bytes that cannot be decoded`, {
      cause,
    });
  }
}

function requestMetadata({ metadata = {} }: CallOptions): Metadata {
  const all = new Metadata();
  const traceId = currentTraceId();
  if (traceId !== undefined) all.set(TRACE_ID_KEY, traceId);
  for (const [key, value] of Object.entries(metadata)) all.set(key, value);
  return all;
}

function cancelOn(signal: AbortSignal | undefined, call: { cancel(): void }): void {
  if (signal?.aborted === true) call.cancel();
  else signal?.addEventListener('abort', () => call.cancel(), { once: true });
}

function kindOf({ idempotent = false }: CallOptions): CallKind {
  return { idempotent };
}

function isStatus(error: unknown): error is StatusObject {
  return error instanceof Error && 'code' in error && 'details' in error && 'metadata' in error;
}
