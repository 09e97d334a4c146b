import { lookup } from 'node:dns/promises';
import {
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { formatAddress, parseAddress, type Address } from './address';
import { SynodError } from '@synod/runtime';
import { Http1Connections } from './http1-connections';
import { keepAlive } from './keep-alive';
import type { RpcLimits } from './limits';
import type { Pages } from './pages';
import type { TlsMaterial } from './tls-files';

type StreamHandler = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

/**
 * Calls open on one connection, those included whose request has yet to come or whose answer is not taken yet: the bounds on work
 * count neither. As many as a server has streams by default, so that one connection may still have them all.
 */
const CONCURRENT_STREAMS_MAX = 4_096;

const OPTIONS = {
  settings: { maxConcurrentStreams: CONCURRENT_STREAMS_MAX },
  // Node's own bound of 10 MB counts what clients have yet to read, and ends the connection in the midst of it. Instead a stream of
  // responses has its queue and a connection its number of calls; unary answers that nobody takes are bounded by that number alone.
  maxSessionMemory: Number.MAX_SAFE_INTEGER,
  maxSendHeaderBlockLength: Number.MAX_SAFE_INTEGER,
};

/** The sockets that a server listens on, and the connections that came in by them. */
export class Http2Listener {
  private readonly servers = new Set<Server>();
  private readonly sessions = new Set<ServerHttp2Session>();
  private readonly endings: (() => void)[] = [];
  /** Absent where only HTTP/2 is spoken. */
  private readonly http1: Http1Connections | undefined;
  private destroyed = false;

  constructor(
    private readonly limits: Pick<RpcLimits, 'keepaliveTimeMs' | 'keepaliveTimeoutMs'>,
    private readonly onStream: StreamHandler,
    pages: Pages | undefined,
  ) {
    this.http1 = pages && new Http1Connections(pages);
  }

  /**
   * @param address `host:port`; a name is listened to at all of its addresses, port 0 picks a free one
   * @param tls with an identity; without it whoever connects is served in the clear
   * @throws {SynodError} `unavailable`, naming the address, if it cannot be had
   */
  async listen(address: string, tls: TlsMaterial | undefined): Promise<Address> {
    const { host, port: wanted } = parseAddress(address);
    let port: number | undefined;
    let failure: unknown;
    try {
      for (const each of await lookup(host, { all: true })) {
        try {
          port = await this.bind(each.address, port ?? wanted, tls);
        } catch (error) {
          // `localhost` often has an IPv6 address by its name only.
          if (!isAbsent(error)) throw error;
          failure = error;
        }
      }
      if (port === undefined) throw failure;
      return { host, port };
    } catch (error) {
      throw listenError({ host, port: wanted }, error as NodeJS.ErrnoException);
    }
  }

  /** Takes no more connections, and tells clients to go; resolves when the last one has. */
  async close(): Promise<void> {
    for (const end of this.endings.splice(0)) end();
    for (const server of this.servers) server.close();
    const left = [...this.sessions].map((session) => new Promise<void>((resolve) => session.close(resolve)));
    await Promise.all([...left, this.http1?.close()]);
  }

  /** Cuts the connections that are left, and those in the midst of their TLS handshake once they are through. */
  destroy(): void {
    this.destroyed = true;
    for (const session of this.sessions) session.destroy();
    this.http1?.destroy();
  }

  private async bind(host: string, port: number, tls: TlsMaterial | undefined): Promise<number> {
    const server = tls === undefined ? this.inTheClear() : this.secured(tls);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host, port }, () => {
        server.off('error', reject);
        resolve();
      });
    });
    this.servers.add(server);
    return (server.address() as AddressInfo).port;
  }

  private inTheClear(): Server {
    const server = createServer(OPTIONS);
    this.serve(server);
    const { http1 } = this;
    if (http1 === undefined) return server;
    const serveHttp2 = (socket: Socket): unknown => server.emit('connection', socket);
    return createTcpServer((socket) => http1.serveUnlessHttp2(socket, serveHttp2));
  }

  /** Connections made after a change of certificates use the new ones. */
  private secured(tls: TlsMaterial): Server {
    const { checksOthers, options } = tls;
    const checks = { requestCert: checksOthers, rejectUnauthorized: checksOthers };
    const { http1 } = this;
    const versions = http1 === undefined ? {} : { ALPNCallback: preferHttp2 };
    const server = createSecureServer({ ...OPTIONS, ...options, ...checks, ...versions });
    this.serve(server);
    if (http1 !== undefined) server.on('unknownProtocol', (socket: Socket) => http1.serve(socket));
    this.endings.push(tls.onChange((changed) => server.setSecureContext(changed)));
    return server;
  }

  private serve(server: Http2Server | Http2SecureServer): void {
    server.on('stream', this.onStream);
    server.on('session', (session: ServerHttp2Session) => {
      if (this.destroyed) return session.destroy();
      this.sessions.add(session);
      session.once('close', () => this.sessions.delete(session));
      keepAlive(session, this.limits);
    });
  }
}

/** Of what a client offers; that it has neither in common with us ends the handshake. */
function preferHttp2({ protocols }: { readonly protocols: readonly string[] }): string | undefined {
  return ['h2', 'http/1.1'].find((version) => protocols.includes(version));
}

/** This machine does not have the address, or nothing of its family. */
function isAbsent(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT';
}

function listenError({ host, port }: Address, cause: NodeJS.ErrnoException): SynodError {
  const reason =
    cause.code === 'EADDRINUSE'
      ? `port ${port} is in use; stop what uses it or listen on another`
      : isAbsent(cause) || cause.code === 'ENOTFOUND'
        ? `${host} is not an address of this machine`
        : cause.code === 'EACCES'
          ? `this user may not use port ${port}`
          : cause.message;
  return new SynodError('unavailable', `cannot listen on ${formatAddress({ host, port })}: ${reason}`, { cause });
}
