import { connect, type ClientHttp2Session, type SecureClientSessionOptions } from 'node:http2';
import { formatAddress, parseAddress } from './address';
import { keepAlive } from './keep-alive';
import type { RpcLimits } from './limits';
import { OutgoingCall, type CallEvents } from './outgoing-call';
import type { TlsMaterial } from './tls-files';

const HEADERS = { ':method': 'POST', 'content-type': 'application/grpc+proto', te: 'trailers' };

/** What waits to leave is bounded for each stream, by its queue. */
const OPTIONS = { maxSessionMemory: Number.MAX_SAFE_INTEGER };

interface Shared {
  readonly session: ClientHttp2Session;
  streams: number;
}

/**
 * Connections for streams between nodes: one for each address, made at the first stream and closed behind the last. None is made again by
 * itself: who opens the next stream gets a new one.
 */
export class Http2Dialler {
  private readonly connections = new Map<string, Shared>();

  constructor(private readonly limits: RpcLimits) {}

  /**
   * Returns at once; what is written waits until the other end is reached.
   * @param path `/package.Service/Method`
   * @param tls in the clear if absent
   * @throws {SynodError} `invalid-argument` for what is no address
   */
  open(address: string, path: string, tls: TlsMaterial | undefined, events: CallEvents): OutgoingCall {
    const connection = this.connectionTo(address, tls);
    connection.streams++;
    const stream = connection.session.request({ ...HEADERS, ':path': path });
    stream.once('close', () => {
      if (--connection.streams === 0) connection.session.close();
    });
    return new OutgoingCall(stream, this.limits.messageBytesMax, events);
  }

  /** Cuts every connection; calls in flight fail. */
  close(): void {
    for (const { session } of this.connections.values()) session.destroy();
  }

  private connectionTo(address: string, tls: TlsMaterial | undefined): Shared {
    const url = `${tls === undefined ? 'http' : 'https'}://${formatAddress(parseAddress(address))}`;
    const known = this.connections.get(url);
    if (known !== undefined && !known.session.closed && !known.session.destroyed) return known;
    // With the certificates of this moment.
    const secure: SecureClientSessionOptions = tls === undefined ? {} : { secureContext: tls.context };
    const session = connect(url, { ...OPTIONS, ...secure });
    const connection = { session, streams: 0 };
    this.connections.set(url, connection);
    // Each stream is told of it as well.
    session.on('error', () => undefined);
    // The other end takes no more streams: the next one goes by a connection of its own.
    session.on('goaway', () => session.close());
    session.on('close', () => {
      if (this.connections.get(url) === connection) this.connections.delete(url);
    });
    keepAlive(session, this.limits);
    // An operating system tries for minutes, and longer and longer apart: whoever dials again shall not wait for that.
    const patience = setTimeout(() => {
      if (session.connecting) session.destroy();
    }, this.limits.dialTimeoutMs);
    session.once('connect', () => clearTimeout(patience));
    session.once('close', () => clearTimeout(patience));
    return connection;
  }
}
