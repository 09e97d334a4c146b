import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { TLSSocket, type PeerCertificate } from 'node:tls';
import { status } from '@grpc/grpc-js';
import { StatusError } from './error-table';
import { framed, MessageReader } from './message-reader';

/** How a call ends. */
export interface FinalStatus {
  readonly code: status;
  readonly details: string;
  /** Goes into the trailers. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** Who takes the messages of a call, in order. */
export interface MessageSink {
  message(bytes: Buffer): void;
  /** The client has nothing more to say. Not called if it is gone. */
  ended(): void;
}

const RESPONSE_HEADERS: OutgoingHttpHeaders = {
  ':status': 200,
  'content-type': 'application/grpc+proto',
};
/** Whoever compresses learns what is taken instead. */
const ENCODINGS = { 'grpc-accept-encoding': 'identity' };
const WITH_TRAILERS = { waitForTrailers: true, sendDate: false };
const ALONE = { endStream: true, sendDate: false };
const TIMEOUT = /^(\d{1,8})([HMSmun])$/;
const TIMEOUT_UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 };

/**
 * One call on its HTTP/2 stream: whole messages come in and go out, and a status ends it.
 * Source: "gRPC over HTTP2" (doc/PROTOCOL-HTTP2.md).
 */
export class IncomingCall {
  private responded = false;
  private finished = false;
  private closed = false;
  private sink: MessageSink | undefined;
  private readonly whenClosed: (() => void)[] = [];

  constructor(
    private readonly stream: ServerHttp2Stream,
    private readonly headers: IncomingHttpHeaders,
    private readonly messageBytesMax: number,
    /** When the client stops to wait; Infinity if it never does. Wall-clock milliseconds. */
    readonly deadlineAtMs: number,
  ) {
    // Neither happens twice; `once` would wrap every listener.
    stream.on('close', () => this.close());
  }

  /** Nobody waits for the answer any more, and it was not given. */
  get cancelled(): boolean {
    return this.closed && !this.finished;
  }

  /** Address of the client. */
  get peer(): string {
    const { remoteAddress, remotePort } = this.stream.session?.socket ?? {};
    return remoteAddress === undefined ? 'unknown' : `${remoteAddress}:${remotePort}`;
  }

  /** The common name in the client's certificate, over TLS and if it has shown one. */
  get commonName(): string | undefined {
    const socket = this.stream.session?.socket;
    if (!(socket instanceof TLSSocket)) return undefined;
    // An empty object where there is none.
    const { subject } = socket.getPeerCertificate() as Partial<PeerCertificate>;
    const name: unknown = subject?.CN;
    return typeof name === 'string' && name !== '' ? name : undefined;
  }

  /** The value of a metadata key in lower case, if it is text. */
  metadata(key: string): string | undefined {
    const value = this.headers[key];
    return typeof value === 'string' ? value : undefined;
  }

  /** Calls back when the call is over, whatever came of it; at once if it is. */
  onClosed(listener: () => void): void {
    if (this.closed) listener();
    else this.whenClosed.push(listener);
  }

  /** Hands over messages as they come. To be called once. */
  receive(sink: MessageSink): void {
    this.sink = sink;
    const reader = new MessageReader(this.messageBytesMax, this.metadata('grpc-encoding') ?? 'identity');
    const take = (message: Buffer): void => this.sink?.message(message);
    this.stream.on('data', (chunk: Buffer) => {
      if (this.sink === undefined) return; // Answered: what the client still says is of no use.
      try {
        reader.push(chunk, take);
      } catch (error) {
        if (!(error instanceof StatusError)) throw error;
        this.breakOff({ code: error.code, details: error.details, metadata: ENCODINGS });
      }
    });
    this.stream.on('end', () => {
      if (this.sink === undefined) return;
      if (!reader.partial) return this.sink.ended();
      const details = 'the request stream ended in the midst of a message';
      this.breakOff({ code: status.INTERNAL, details, metadata: {} });
    });
  }

  /** The one message of a request that is no stream. It is not waited for what else the client may say. */
  receiveOne(run: (request: Buffer) => void): void {
    this.receive({
      message: (bytes) => {
        this.sink = undefined;
        run(bytes);
      },
      ended: () => {
        this.finish({ code: status.UNIMPLEMENTED, details: 'the call has no request message', metadata: {} });
      },
    });
  }

  /** Messages at the pace of who takes them. Ends without an error when the client is done, or gone. */
  async *messages(): AsyncGenerator<Buffer, void, undefined> {
    const waiting: Buffer[] = [];
    let over = false;
    let wake = (): void => undefined;
    const end = (): void => {
      over = true;
      wake();
    };
    this.receive({
      message: (bytes) => {
        waiting.push(bytes);
        this.stream.pause();
        wake();
      },
      ended: end,
    });
    this.onClosed(end);
    for (;;) {
      const message = waiting.shift();
      if (message !== undefined) yield message;
      else if (over) return;
      else {
        const woken = new Promise<void>((resolve) => (wake = resolve));
        this.stream.resume();
        await woken;
      }
    }
  }

  /** Answers with headers at once, before there is anything to say. */
  respond(): void {
    if (this.responded || this.isOver) return;
    this.responded = true;
    this.stream.respond(RESPONSE_HEADERS, WITH_TRAILERS);
  }

  /** @param left is called when the message has left this process, as far as the client's window lets it, or never will */
  write(message: Uint8Array, left: () => void): void {
    if (this.isOver) return;
    this.respond();
    this.stream.write(framed(message), left);
  }

  /** The only message of an answer that is no stream, and its end. */
  answer(message: Uint8Array, metadata: FinalStatus['metadata']): void {
    if (this.isOver) return;
    this.respond();
    this.end({ 'grpc-status': status.OK, ...metadata }, framed(message));
  }

  /** Ends the call, after what was written before. */
  finish({ code, details, metadata }: FinalStatus): void {
    if (this.isOver) return;
    const trailers: OutgoingHttpHeaders = { 'grpc-status': code, ...metadata };
    if (details !== '') trailers['grpc-message'] = percentEncoded(details);
    if (this.responded) return this.end(trailers);
    this.finished = true;
    this.stream.respond({ ...RESPONSE_HEADERS, ...trailers }, ALONE);
    this.discard();
  }

  private get isOver(): boolean {
    return this.finished || this.closed || this.stream.destroyed || this.stream.closed;
  }

  private end(trailers: OutgoingHttpHeaders, last?: Buffer): void {
    this.finished = true;
    this.stream.on('wantTrailers', () => this.stream.sendTrailers(trailers));
    if (last === undefined) this.stream.end();
    else this.stream.end(last);
    this.discard();
  }

  /** What the client still says must be read all the same, or the stream never ends. */
  private discard(): void {
    this.sink = undefined;
    this.stream.resume();
  }

  /** Finishes a call whose bytes make no sense, and tells whoever serves it. */
  private breakOff(final: FinalStatus): void {
    this.finish(final);
    this.close();
  }

  private close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const listener of this.whenClosed.splice(0)) listener();
  }
}

/**
 * Reads `grpc-timeout`.
 * @returns milliseconds, Infinity without one; undefined if it is malformed
 */
export function timeoutMs(header: string | string[] | undefined): number | undefined {
  if (header === undefined) return Infinity;
  const [, amount, unit = ''] = TIMEOUT.exec(String(header)) ?? [];
  const unitMs = TIMEOUT_UNIT_MS[unit];
  return unitMs === undefined ? undefined : Math.ceil(Number(amount) * unitMs);
}

/** As `grpc-message` wants it: UTF-8 with everything but printable ASCII, and the percent sign, as %XX. */
function percentEncoded(text: string): string {
  if (/^[ -$&-~]*$/.test(text)) return text;
  let encoded = '';
  for (const byte of Buffer.from(text)) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    encoded += plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return encoded;
}
