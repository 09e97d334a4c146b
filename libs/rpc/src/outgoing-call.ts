import { constants, type ClientHttp2Stream, type IncomingHttpHeaders } from 'node:http2';
import { status } from '@grpc/grpc-js';
import { StatusError } from './error-table';
import { framed, MessageReader } from './message-reader';

/** How a call ended. */
export interface CallEnd {
  readonly code: status;
  readonly details: string;
  /** Nobody listens where it was dialled to. */
  readonly refused: boolean;
}

/** Who takes what comes of a call. */
export interface CallEvents {
  /** The server has taken the call. */
  answered(): void;
  message(bytes: Buffer): void;
  /** Called once, unless this end cancels it. Nothing comes afterwards. */
  ended(end: CallEnd): void;
}

/**
 * One bidirectional call on its HTTP/2 stream, from the client's end.
 * Source: "gRPC over HTTP2" (doc/PROTOCOL-HTTP2.md).
 */
export class OutgoingCall {
  private over = false;

  constructor(
    private readonly stream: ClientHttp2Stream,
    messageBytesMax: number,
    private readonly events: CallEvents,
  ) {
    let failure: Error | undefined;
    let reader: MessageReader | undefined;
    stream.on('response', (headers) => {
      if (headers[':status'] !== 200) {
        this.end(status.UNKNOWN, `HTTP status ${headers[':status']}`);
        stream.close(constants.NGHTTP2_CANCEL);
      } else if (headers['grpc-status'] !== undefined) this.endBy(headers);
      else {
        reader = new MessageReader(messageBytesMax, textOf(headers['grpc-encoding']) ?? 'identity');
        events.answered();
      }
    });
    const take = (message: Buffer): void => {
      if (!this.over) events.message(message);
    };
    stream.on('data', (chunk: Buffer) => {
      try {
        reader?.push(chunk, take);
      } catch (error) {
        if (!(error instanceof StatusError)) throw error;
        this.end(error.code, error.details);
        stream.close(constants.NGHTTP2_CANCEL);
      }
    });
    stream.on('trailers', (headers: IncomingHttpHeaders) => this.endBy(headers));
    stream.on('error', (error: Error) => (failure = error));
    stream.on('close', () => this.brokeOff(failure));
  }

  /** @param left is called when the message has left this process, as far as the server's window lets it, or never will */
  write(message: Uint8Array, left: () => void): void {
    if (!this.over) this.stream.write(framed(message), left);
  }

  /** Ends it once all that was written has left. */
  close(): void {
    this.stream.end();
  }

  /** Ends it now, without a word to its events. */
  cancel(): void {
    this.over = true;
    this.stream.close(constants.NGHTTP2_CANCEL);
  }

  private endBy(headers: IncomingHttpHeaders): void {
    const code = Number(textOf(headers['grpc-status']));
    const details = textOf(headers['grpc-message']) ?? '';
    this.end(code in status ? code : status.UNKNOWN, decoded(details));
    this.stream.end(); // Nothing more is said to a server that has ended the call, or the stream would stay half open.
  }

  /** The stream is gone. Where no status said why, the connection was lost or never came about. */
  private brokeOff(failure: Error | undefined): void {
    // A stream that waited for a connection is told of it as a cancellation.
    const cause = (failure?.cause ?? failure) as NodeJS.ErrnoException | undefined;
    const reason = cause === undefined ? 'the connection was lost' : messageOf(cause);
    this.end(status.UNAVAILABLE, reason, cause !== undefined && isRefusal(cause));
  }

  private end(code: status, details: string, refused = false): void {
    if (this.over) return;
    this.over = true;
    this.events.ended({ code, details, refused });
  }
}

function textOf(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}

/** Of a name with several addresses the attempts fail together, with a message each and none in common. */
function attemptsOf(error: Error): readonly NodeJS.ErrnoException[] {
  return error instanceof AggregateError ? (error.errors as NodeJS.ErrnoException[]) : [error];
}

function messageOf(error: Error): string {
  return attemptsOf(error)
    .map(({ message }) => message)
    .join(', ');
}

/** Nobody listens at any of the addresses. */
function isRefusal(error: Error): boolean {
  return attemptsOf(error).every(({ syscall, code }) => syscall === 'connect' && code === 'ECONNREFUSED');
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // As the protocol wants: what is not decodable is shown as it came.
  }
}
