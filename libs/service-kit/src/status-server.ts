import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseAddress, type Address } from '@synod/rpc';
import { SynodError } from '@synod/runtime';
import type { Metrics } from './metrics';

/** `/metrics` for Prometheus, `/healthz` (the process turns), `/readyz` (it can do its work now) for probes. */
export class StatusServer {
  private readonly server: Server;

  /** @param ready why the service cannot do its work now, or undefined if it can */
  constructor(metrics: Metrics, ready: () => string | undefined) {
    this.server = createServer((request, response) => {
      switch (new URL(request.url ?? '/', 'http://node').pathname) {
        case '/metrics':
          void metrics.registry.metrics().then((text) => {
            response.setHeader('content-type', metrics.registry.contentType);
            answer(response, 200, text);
          });
          return;
        case '/healthz':
          return answer(response, 200, 'ok\n');
        case '/readyz': {
          const obstacle = ready();
          return answer(response, obstacle === undefined ? 200 : 503, `${obstacle ?? 'ok'}\n`);
        }
        default:
          return answer(response, 404, 'one of /metrics, /healthz, /readyz\n');
      }
    });
  }

  /**
   * @returns the address with the port in use
   * @throws {SynodError} `unavailable`, naming the address, if it cannot be had
   */
  async listen(address: string): Promise<Address> {
    const { host, port } = parseAddress(address);
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', (cause) => {
        reject(new SynodError('unavailable', `cannot serve HTTP on ${address}: ${cause.message}`, { cause }));
      });
      this.server.listen(port, host, resolve);
    });
    return { host, port: (this.server.address() as AddressInfo).port };
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }
}

function answer(response: ServerResponse, code: number, text: string): void {
  response.statusCode = code;
  response.end(text);
}
