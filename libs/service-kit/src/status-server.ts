import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { Pages, parseAddress, type Address, type PageHandler, type TlsMaterial } from '@synod/rpc';
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
  /** What is answered, for another server's ports too. */
  readonly answer: PageHandler;
  private readonly listener: RequestListener;

  /**
   * @param ready why the service cannot do its work now, or undefined if it can
   * @param pages by path
   */
  constructor(metrics: Metrics, ready: () => string | undefined, pages: Readonly<Record<string, () => Page>> = {}) {
    const paths = ['/metrics', '/healthz', '/readyz', ...Object.keys(pages)];
    this.answer = async ({ method, path }) => {
      if (method !== 'GET' && method !== 'HEAD')
        return { status: 405, headers: { allow: 'GET, HEAD' }, body: 'Method Not Allowed\n' };
      switch (path) {
        case '/metrics':
          return { status: 200, headers: { 'content-type': metrics.contentType }, body: await metrics.text() };
        case '/healthz':
          return { status: 200, body: 'ok\n' };
        case '/readyz': {
          const obstacle = ready();
          return { status: obstacle === undefined ? 200 : 503, body: `${obstacle ?? 'ok'}\n` };
        }
      }
      const page = Object.hasOwn(pages, path) ? pages[path]?.() : undefined;
      if (page === undefined) return { status: 404, body: `one of ${paths.join(', ')}\n` };
      const { status, body } = page;
      return { status, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
    };
    const served = new Pages(this.answer);
    this.listener = (request, response) => void served.serveRequest(request, response);
  }

  /**
   * Starts to serve; may be called for several addresses.
   * @param tls with an identity; without it pages are served in the clear
   * @returns the address with the port in use
   * @throws {SynodError} `unavailable`, naming the address, if it cannot be had
   */
  async listen(address: string, tls?: TlsMaterial): Promise<Address> {
    const { host, port } = parseAddress(address);
    const server = tls === undefined ? createServer(this.listener) : secureServer(tls, this.listener);
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

function secureServer(tls: TlsMaterial, listener: RequestListener): Server {
  const { checksOthers } = tls;
  const server = createSecureServer(
    { ...tls.options, requestCert: checksOthers, rejectUnauthorized: checksOthers },
    listener,
  );
  tls.onChange((options) => server.setSecureContext(options));
  return server;
}
