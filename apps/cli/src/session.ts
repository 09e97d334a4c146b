import type { Command } from 'commander';
import { connect, type SynodClient } from '@synod/client';
import { readCredentials, type EtcdCredentials } from '@synod/coordination';
import { parseAddress, type TlsFiles } from '@synod/rpc';
import { UsageError } from './failure';

const DEFAULT_ENDPOINT = '127.0.0.1:2379';

/** What client commands share: which cluster they talk to. */
export interface EndpointOptions {
  readonly endpoints?: string;
  readonly credentials?: string;
  readonly cacert?: string;
  readonly cert?: string;
  readonly key?: string;
}

export function withEndpoints(command: Command): Command {
  return command
    .option(
      '--endpoints <addresses>',
      `consensus members, host:port,… (else SYNOD_ENDPOINTS, else ${DEFAULT_ENDPOINT})`,
    )
    .option('--credentials <file>', 'file with user:password, where users are checked (else SYNOD_CREDENTIALS)')
    .option('--cacert <file>', 'authority of the consensus members; they are called over TLS if it is given')
    .option('--cert <file>', 'certificate to show them')
    .option('--key <file>', 'its key');
}

/** The certificates that a command was told of. */
export function tlsOf({ cacert, cert, key }: EndpointOptions): TlsFiles | undefined {
  const alone = cert === undefined ? key : key === undefined || cacert === undefined ? cert : undefined;
  if (alone !== undefined) throw new UsageError('--cacert, --cert and --key: a certificate needs the other two');
  if (cacert === undefined) return undefined;
  const ca = { path: cacert, name: '--cacert' };
  if (cert === undefined || key === undefined) return { ca };
  return { ca, identity: { cert: { path: cert, name: '--cert' }, key: { path: key, name: '--key' } } };
}

/** The consensus members that a command was told of. */
export function endpointsOf({ endpoints }: EndpointOptions): string[] {
  const text = endpoints ?? (process.env['SYNOD_ENDPOINTS'] || DEFAULT_ENDPOINT);
  const addresses = text.split(',').map((address) => address.trim());
  for (const address of addresses) {
    try {
      parseAddress(address);
    } catch (error) {
      throw new UsageError(
        `${endpoints === undefined ? 'SYNOD_ENDPOINTS' : '--endpoints'}: ${(error as Error).message}`,
      );
    }
  }
  return addresses;
}

/** As whom a command is run. */
export function credentialsOf({ credentials }: EndpointOptions): EtcdCredentials | undefined {
  const file = credentials ?? process.env['SYNOD_CREDENTIALS'];
  if (file === undefined || file === '') return undefined;
  try {
    return readCredentials(file);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/**
 * Runs `work` with a client of the cluster.
 * @throws {SynodError} `unavailable`, naming what was tried, if no consensus member answers
 */
export async function withClient<T>(options: EndpointOptions, work: (client: SynodClient) => Promise<T>): Promise<T> {
  const tls = tlsOf(options);
  const client = await connect({
    endpoints: endpointsOf(options),
    credentials: credentialsOf(options),
    ...(tls === undefined ? {} : { tls }),
  });
  try {
    return await work(client);
  } finally {
    client.close();
  }
}
