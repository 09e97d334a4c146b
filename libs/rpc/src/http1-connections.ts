import { createServer, type Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Pages } from './pages';

/** What every HTTP/2 connection begins with (RFC 9113 §3.4). */
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
/** For a connection to say what it is, and for one of HTTP/1.1 to end. */
const PATIENCE_MS = 10_000;

/** The connections of HTTP/1.1 on a port of HTTP/2: for probes and scrapers, which speak nothing else. Each serves one request. */
export class Http1Connections {
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();
  private destroyed = false;

  constructor(pages: Pages) {
    this.server = createServer((request, response) => {
      response.setHeader('connection', 'close');
      void pages.serveRequest(request, response);
    });
  }

  /** Serves a connection that speaks HTTP/1.1. */
  serve(socket: Socket): void {
    this.hold(socket);
    this.server.emit('connection', socket);
  }

  /** Serves a connection in the clear if its first bytes are of HTTP/1.1; else it is another's. */
  serveUnlessHttp2(socket: Socket, serveHttp2: (socket: Socket) => void): void {
    const release = this.hold(socket);
    socket.once('data', (first: Buffer) => {
      socket.pause();
      socket.unshift(first);
      if (beginsPreface(first)) {
        release();
        return serveHttp2(socket);
      }
      this.server.emit('connection', socket);
      socket.resume();
    });
  }

  /** Resolves when those that are open now are closed. */
  async close(): Promise<void> {
    await Promise.all([...this.sockets].map((socket) => new Promise((resolve) => socket.once('close', resolve))));
  }

  /** Cuts the connections that are left, and those that come from their TLS handshake later. */
  destroy(): void {
    this.destroyed = true;
    for (const socket of this.sockets) socket.destroy();
  }

  /** Keeps a connection that ends in time, or with the server. @returns what lets go of it */
  private hold(socket: Socket): () => void {
    const limit = setTimeout(() => socket.destroy(), PATIENCE_MS);
    const release = (): void => {
      clearTimeout(limit);
      this.sockets.delete(socket);
    };
    this.sockets.add(socket);
    socket.on('error', ignored);
    socket.once('close', release);
    if (this.destroyed) socket.destroy();
    return release;
  }
}

function beginsPreface(first: Buffer): boolean {
  const length = Math.min(first.length, PREFACE.length);
  return PREFACE.subarray(0, length).equals(first.subarray(0, length));
}

/** It ends by it, and nothing else is to be done. */
function ignored(): void {}
