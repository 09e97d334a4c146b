import { formatUrl, isLoopback, parseAddress, type Endpoint } from '@synod/rpc';
import { assertListenable, UsageError } from '@synod/service-kit';

/** One address where a member is served. */
export interface Listener {
  readonly address: string;
  readonly tls: boolean;
}

/** What decides how the endpoints of one setting are served. */
export interface ListenRules {
  /** The setting as it was given. */
  readonly flag: string;
  /** Of the certificate that it would be served with. */
  readonly certFlag: string;
  readonly hasCertificate: boolean;
  readonly insecureListen: boolean;
}

/**
 * How endpoints are served: a scheme says it; an address alone has TLS if there is a certificate, and else must not be reachable from
 * other machines. An `http://` is taken at its word, with a warning if others can read along.
 * @returns warnings are for the log
 * @throws {UsageError} naming the setting
 */
export function listenersOf(
  endpoints: readonly Endpoint[],
  { flag, certFlag, hasCertificate, insecureListen }: ListenRules,
): { readonly listeners: readonly Listener[]; readonly warnings: readonly string[] } {
  const warnings: string[] = [];
  const listeners = endpoints.map((endpoint): Listener => {
    const { scheme, address } = endpoint;
    const tls = scheme === undefined ? hasCertificate : scheme === 'https';
    const named = `${flag} ${formatUrl(endpoint)}`;
    if (tls && !hasCertificate) throw new UsageError(`${named}: https needs ${certFlag} and its key`);
    if (scheme === 'http' && hasCertificate) warnings.push(`${named} is served without TLS: ${certFlag} is not used`);
    else if (scheme === 'http' && !isLoopback(parseAddress(address)))
      warnings.push(`${named} is reachable from other machines and has no TLS`);
    else if (!tls) assertListenable({ [flag]: address }, scheme === 'http' || insecureListen);
    return { address, tls };
  });
  return { listeners, warnings };
}

/** Whether an address says only on which interfaces to listen, not where it can be reached. */
export function isWildcard(address: string): boolean {
  const { host } = parseAddress(address);
  return host === '0.0.0.0' || /^[0:]+$/.test(host);
}
