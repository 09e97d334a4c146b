import {
  SynodError,
  type Cancel,
  type Clock,
  type Connection,
  type ErrorKind,
  type Protocol,
  type Random,
  type Timers,
  type Transport,
} from '@synod/runtime';
import type { RemoteError } from './storage';

/** A request on its way: `id` pairs it with its response and is unique within one connection. */
export interface Numbered<T> {
  readonly id: number;
  readonly body: T;
}

/** A conversation in which every message up is a request and every message down the response to one. */
export type RequestProtocol<Req, Res> = Protocol<Numbered<Req>, Numbered<Res | ErrorResponse>>;

/** Every response union has this member: the failure of one request, leaving the stream intact. */
export interface ErrorResponse {
  readonly kind: 'error';
  readonly error: RemoteError;
}

/** What went wrong, in the form that crosses the wire. Anything but a `SynodError` is a bug of the server: its text stays there. */
export function remoteError(error: unknown): RemoteError {
  if (!(error instanceof SynodError)) {
    return { kind: 'outcome-unknown', message: 'the server failed on this request; its log has the cause' };
  }
  const { kind, message, details } = error;
  return details.hint === undefined ? { kind, message } : { kind, message, hint: details.hint };
}

/** The error of a response, as the caller throws it. */
export function thrownError(error: RemoteError): SynodError {
  return new SynodError(error.kind, error.message, error.hint === undefined ? {} : { hint: error.hint });
}

const BACKOFF_MIN_US = 50_000;
/** Longer turns a blip of the network into an outage. */
const BACKOFF_MAX_US = 250_000;

interface Waiting<Res> {
  readonly resolve: (response: Res) => void;
  readonly reject: (error: SynodError) => void;
  readonly cancelTimeout: Cancel;
}

/**
 * The asking end of a stream of requests to one node. One connection carries everything; it is dialled when first needed and again,
 * after 50–250 ms, when it broke. Whether a request whose answer was lost took effect is not known here, so the caller is told so.
 */
export class RequestStream<Req, Res extends { readonly kind: string }> {
  private connection: Connection<Numbered<Req>> | undefined;
  private readonly waiting = new Map<number, Waiting<Exclude<Res, ErrorResponse>>>();
  private nextId = 1;
  private closed = false;
  private brokenUntilUs = 0;
  private brokenReason = '';

  constructor(
    private readonly ports: {
      readonly transport: Transport;
      readonly clock: Clock;
      readonly timers: Timers;
      readonly random: Random;
    },
    private readonly protocol: RequestProtocol<Req, Res>,
    readonly address: string,
    /** Requests in flight at most; one more is refused as `overloaded`. */
    private readonly inflightMax = 4096,
  ) {}

  get inflight(): number {
    return this.waiting.size;
  }

  /** Whether there is a connection, as far as this end knows; if not, the next request dials a new one. */
  get isOpen(): boolean {
    return this.connection !== undefined;
  }

  /**
   * @throws {SynodError} the server's own error; `unavailable` or `overloaded` if the request was certainly not sent;
   *   `outcome-unknown` if the connection broke or the time ran out after it was
   */
  request(body: Req, options: { readonly timeoutUs: number }): Promise<Exclude<Res, ErrorResponse>> {
    if (this.closed) return refuse('unavailable', `the stream to ${this.address} is closed`);
    if (this.waiting.size >= this.inflightMax) {
      return refuse('overloaded', `${this.inflightMax} requests to ${this.address} are in flight; back off`);
    }
    const connection = this.connected();
    if (connection === undefined)
      return refuse('unavailable', `${this.address} is not reachable: ${this.brokenReason}`);
    const id = this.nextId++;
    if (!connection.send({ id, body })) return refuse('overloaded', `the queue to ${this.address} is full; back off`);
    return new Promise((resolve, reject) => {
      const cancelTimeout = this.ports.timers.after(options.timeoutUs, () => {
        this.waiting.delete(id);
        reject(new SynodError('outcome-unknown', `${this.address} did not answer in ${options.timeoutUs / 1000} ms`));
      });
      this.waiting.set(id, { resolve, reject, cancelTimeout });
    });
  }

  close(): void {
    this.closed = true;
    this.connection?.close();
    this.disconnect('this end closed');
  }

  private connected(): Connection<Numbered<Req>> | undefined {
    if (this.connection !== undefined) return this.connection;
    if (this.ports.clock.monotonicUs() < this.brokenUntilUs) return undefined;
    this.connection = this.ports.transport.connect(this.protocol, this.address, {
      receive: (response) => this.settle(response),
      closed: (reason) => this.disconnect(reason),
    });
    return this.connection;
  }

  private settle(response: Numbered<Res | ErrorResponse>): void {
    const waiting = this.waiting.get(response.id);
    if (waiting === undefined) return; // It timed out before.
    this.waiting.delete(response.id);
    waiting.cancelTimeout();
    const body = response.body;
    if (isError(body)) waiting.reject(thrownError(body.error));
    else waiting.resolve(body as Exclude<Res, ErrorResponse>);
  }

  private disconnect(reason: string): void {
    this.connection = undefined;
    this.brokenReason = reason;
    const backoff = BACKOFF_MIN_US + this.ports.random.below(BACKOFF_MAX_US - BACKOFF_MIN_US);
    this.brokenUntilUs = this.ports.clock.monotonicUs() + backoff;
    const lost = [...this.waiting.values()];
    this.waiting.clear();
    for (const waiting of lost) {
      waiting.cancelTimeout();
      waiting.reject(new SynodError('outcome-unknown', `the connection to ${this.address} broke: ${reason}`));
    }
  }
}

/**
 * The answering end: calls `handle` for each request of each connection and sends what it returns or throws.
 * @param inflightMax requests being handled at once, over all connections; one more is answered `overloaded`
 */
export function serveRequests<Req, Res extends { readonly kind: string }>(
  transport: Transport,
  protocol: RequestProtocol<Req, Res>,
  handle: (request: Req) => Promise<Res | ErrorResponse>,
  options: { readonly inflightMax: number; readonly failed?: (error: unknown) => void },
): void {
  let inflight = 0;
  transport.serve(protocol, (connection) => {
    const answer = async (request: Numbered<Req>): Promise<void> => {
      inflight++;
      let body: Res | ErrorResponse;
      try {
        body = await handle(request.body);
      } catch (error) {
        if (!(error instanceof SynodError)) options.failed?.(error);
        body = { kind: 'error', error: remoteError(error) };
      } finally {
        inflight--;
      }
      // A refused send means that the asker is gone or drowning: ending the connection tells it "unknown" at once.
      if (!connection.send({ id: request.id, body })) connection.close();
    };
    return {
      receive: (request) => {
        if (inflight >= options.inflightMax) {
          const error: RemoteError = { kind: 'overloaded', message: `${options.inflightMax} requests are in progress` };
          connection.send({ id: request.id, body: { kind: 'error', error } });
          return;
        }
        void answer(request);
      },
      closed: () => undefined,
    };
  });
}

function isError(body: { readonly kind: string }): body is ErrorResponse {
  return body.kind === 'error';
}

function refuse(kind: ErrorKind, message: string): Promise<never> {
  return Promise.reject(new SynodError(kind, message));
}
