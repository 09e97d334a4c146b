import type { Socket } from 'node:net';
import { isIP } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { CallCredentials, ChannelCredentials } from '@grpc/grpc-js';
import { parseAddress } from './address';
import type { TlsMaterial } from './tls-files';

type ConnectorParameters = Parameters<ChannelCredentials['_createSecureConnector']>;
type SecureConnector = ReturnType<ChannelCredentials['_createSecureConnector']>;

/**
 * Credentials of channels whose certificates may be renewed while they are open. grpc-js's own keep those of the moment when a channel
 * was made; here each connection is made with those of its own moment.
 */
export class RenewedChannelCredentials extends ChannelCredentials {
  constructor(private readonly material: TlsMaterial) {
    super();
  }

  override _isSecure(): boolean {
    return true;
  }

  override _equals(other: ChannelCredentials): boolean {
    return other instanceof RenewedChannelCredentials && other.material === this.material;
  }

  override _createSecureConnector(...[target, , callCredentials]: ConnectorParameters): SecureConnector {
    const { host } = parseAddress(target.path);
    const credentials = callCredentials ?? CallCredentials.createEmpty();
    return {
      connect: async (socket) => ({ socket: await this.secured(socket, host), secure: true }),
      waitForReady: async () => undefined,
      getCallCredentials: () => credentials,
      destroy: () => undefined,
    };
  }

  /** A handshake over a connected socket; the other end's certificate must be for `host`. */
  private secured(socket: Socket, host: string): Promise<TLSSocket> {
    return new Promise((resolve, reject) => {
      const { context: secureContext } = this.material;
      // Addresses are not said in the handshake (RFC 6066, §3), but looked for in the certificate all the same.
      const servername = isIP(host) === 0 ? host : '';
      const secured = connect({ socket, secureContext, host, servername, ALPNProtocols: ['h2'] });
      const closed = (): void => reject(new Error('the connection was closed during the handshake'));
      secured.once('error', reject);
      secured.once('close', closed);
      secured.once('secureConnect', () => {
        secured.off('error', reject);
        secured.off('close', closed);
        resolve(secured);
      });
    });
  }
}
