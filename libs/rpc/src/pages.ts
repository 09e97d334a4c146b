import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';

/** Answers what is no gRPC call, such as a probe of health, in whichever version of HTTP it was asked. */
export type PageHandler = (
  request: Pick<IncomingMessage | Http2ServerRequest, 'method' | 'url'>,
  response: ServerResponse | Http2ServerResponse,
) => void;
