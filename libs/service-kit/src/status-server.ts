import { createServer, type Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { parseAddress, type Address, type PageHandler, type TlsMaterial } from '@synod/rpc';
import { SynodError } from '@synod/runtime';
import type { Metrics } from './metrics';

/** What is answered on one path. */
export interface Page {
  readonly status: number;
  /** Answered as JSON. */
  readonly body: unknown;
}

/** `/metrics` for Prometheus, `/healthz` (the process turns), `/readyz` (it can do its work now) for probes, and pages of the service's own. */
export class StatusServer {
  private readonly servers: Server[] = [];
  /** Answers one request; on the ports of another server too. */
  readonly answer: PageHandler;

  /**
   * @param ready why the service cannot do its work now, or undefined if it can
   * @param pages by path
   */
  constructor(metrics: Metrics, ready: () => string | undefined, pages: Readonly<Record<string, () => Page>> = {}) {
    const paths = ['/metrics', '/healthz', '/readyz', ...Object.keys(pages)];
    this.answer = (request, response) => {
      if (request.method !== 'GET' && request.method !== 'HEAD') {
        response.setHeader('allow', 'GET, HEAD');
        return answer(response, 405, 'Method Not Allowed\n');
      }
      const path = new URL(request.url ?? '/', 'http://node').pathname;
      switch (path) {
        case '/metrics':
          void metrics.text().then((text) => {
            response.setHeader('content-type', metrics.contentType);
            answer(response, 200, text);
          });
          return;
        case '/healthz':
          return answer(response, 200, 'ok\n');
        case '/readyz': {
          const obstacle = ready();
          return answer(response, obstacle === undefined ? 200 : 503, `${obstacle ?? 'ok'}\n`);
        }
      }
      const page = Object.hasOwn(pages, path) ? pages[path]?.() : undefined;
      if (page === undefined) return answer(response, 404, `one of ${paths.join(', ')}\n`);
      response.setHeader('content-type', 'application/json');
      answer(response, page.status, JSON.stringify(page.body));
    };
  }

  /**
   * Starts to serve; may be called for several addresses.
   * @param tls with an identity; without it pages are served in the clear
   * @returns the address with the port in use
   * @throws {SynodError} `unavailable`, naming the address, if it cannot be had
   */
  async listen(address: string, tls?: TlsMaterial): Promise<Address> {
    const { host, port } = parseAddress(address);
    const server = tls === undefined ? createServer(this.answer) : secureServer(tls, this.answer);
    await new Promise<void>((resolve, reject) => {
      server.once('error', (cause) => {
        reject(new SynodError('unavailable', `cannot serve HTTP on ${address}: ${cause.message}`, { cause }));
      });
      server.listen(port, host, resolve);
    });
    this.servers.push(server);
    return { host, port: (server.address() as AddressInfo).port };
  }

  async stop(): Promise<void> {
    for (const server of this.servers) server.closeAllConnections();
    await Promise.all(this.servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))));
  }
}

function secureServer(tls: TlsMaterial, listener: PageHandler): Server {
  const { checksOthers } = tls;
  const server = createSecureServer(
    { ...tls.options, requestCert: checksOthers, rejectUnauthorized: checksOthers },
    listener,
  );
  tls.onChange((options) => server.setSecureContext(options));
  return server;
}

function answer(response: Parameters<PageHandler>[1], code: number, text: string): void {
  response.statusCode = code;
  response.end(text);
}
