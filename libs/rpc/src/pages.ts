import type { IncomingMessage, ServerResponse } from 'node:http';
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';

export interface PageRequest {
  readonly method: string;
  /** Without what follows a `?`. */
  readonly path: string;
}

export interface PageAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Answers what is no gRPC call, such as a probe of health. */
export type PageHandler = (request: PageRequest) => PageAnswer | Promise<PageAnswer>;

/** Requests being answered at once, until the answer is taken. Probes and scrapers are few; whoever wants more is no probe. */
const OPEN_MAX = 64;

/** Serves pages in whichever version of HTTP they are asked for. Nothing that is asked, and nothing that a handler throws, gets any further. */
export class Pages {
  /** Invariant `pages-bounded`: at most OPEN_MAX. */
  private open = 0;

  constructor(private readonly handler: PageHandler) {}

  /** Over HTTP/1.1. */
  async serveRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { status, headers, body } = await this.answer(request.method, request.url, response);
    response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) }).end(body);
  }

  /** Over HTTP/2. */
  async serveStream(stream: ServerHttp2Stream, asked: IncomingHttpHeaders): Promise<void> {
    stream.resume();
    const { status, headers, body } = await this.answer(asked[':method'], asked[':path'], stream);
    if (stream.destroyed) return;
    stream.respond({ ...headers, ':status': status });
    stream.end(body);
  }

  private async answer(
    method = '',
    url = '',
    taker: { once(event: 'close', listener: () => void): unknown },
  ): Promise<PageAnswer> {
    if (this.open >= OPEN_MAX) return { status: 503, body: 'too many requests at once\n' };
    this.open++;
    taker.once('close', () => this.open--);
    const [path = ''] = url.split('?', 1);
    try {
      return await this.handler({ method, path });
    } catch (error) {
      return { status: 500, body: `this cannot be shown: ${(error as Error).message}\n` };
    }
  }
}
