import { isShardCount } from '@synod/consistent-hashing';
import { DEFAULT_LOG_LIMITS, DEFAULT_TIMES, type LogLimits, type ReplicationTimes } from '@synod/replication';
import { formatAddress, formatUrl, parseAddress, type Endpoint, type NamedFile, type TlsFiles } from '@synod/rpc';
import { readSettings, unknownVariables, UsageError, type ConfigSources, type ReadSettings } from '@synod/service-kit';
import { readTokenOptions, type TokenOptions } from './auth/token-options';
import type { Founder } from './founding';
import { isWildcard, listenersOf, type Listener } from './listeners';
import { readRetention, type Retention } from './retention';
import { SETTINGS } from './settings';

/** HTTP is this many ports above the clients' port, unless it is told a place of its own. */
const HTTP_PORT_OFFSET = 1_000;
const PORT_MAX = 65_535;
/** etcd's. */
const QUOTA_BYTES = 2 * 2 ** 30;
/** An election must outlast several heartbeats, or a single lost one begins it. (etcd's rule.) */
const HEARTBEATS_PER_ELECTION = 5;

type Read = ReadSettings<typeof SETTINGS>;

/** What is served to some kind of caller: where, and with which certificate. */
export interface Served {
  readonly listeners: readonly Listener[];
  /** What they dial. */
  readonly advertised: readonly Endpoint[];
  readonly tls: TlsFiles | undefined;
}

export type ConsensusConfig = ReturnType<typeof readConfig>;

/**
 * The service's settings, from flags, environment and file.
 * @throws {UsageError} naming the wrong one
 */
export function readConfig(sources: ConfigSources) {
  const read = readSettings('consensus', 'a member of the coordination service (etcd v3 API)', SETTINGS, sources);
  const { values } = read;
  const warnings = [
    ...unknownVariables(SETTINGS, sources.env, 'ETCD_').map((name) => `${name} is not a setting of consensus; ignored`),
  ];
  if (!isShardCount(values.shards)) throw new UsageError(`--shards ${values.shards}: a power of two is wanted`);
  const clients = readClients(read, warnings);
  const { peers, founders } = readPeers(read, warnings);
  const joins = values.initialClusterState === 'existing';
  if (!joins && founders.length % 2 === 0) {
    const name = read.sources.initialCluster ?? '--initial-cluster';
    const spare = founders.length / 2 - 1;
    warnings.push(
      `${name}: of ${founders.length} members ${spare} may fail, no more than of ${founders.length - 1}, and every change waits for one more of them`,
    );
  }
  return {
    nodeId: values.nodeId,
    dataDir: values.dataDir ?? `${values.nodeId}.etcd`,
    logLevel: values.logLevel,
    clients,
    peers,
    http: readHttp(read, clients, warnings),
    founders,
    /** It takes a place in a running cluster, unless its folder has one. */
    joins,
    initialClusterToken: values.initialClusterToken,
    times: timesOf(read),
    limits: { requestBytesMax: values.maxRequestBytes, txnOperationsMax: values.maxTxnOps },
    logLimits: logLimitsOf(read),
    /** Absent if every linearizable read asks a majority. */
    leases: values.leaseReads ? { maxClockDriftPpm: values.maxClockDriftPpm } : undefined,
    quotaBytes: quotaOf(values.quotaBackendBytes),
    diskReserveBytes: values.diskReserveBytes,
    stateCheckSeconds: values.stateCheckSeconds,
    retention: retentionOf(read),
    authToken: tokensOf(read),
    strictReconfigCheck: values.strictReconfigCheck,
    repairFromPeers: values.repairFromPeers,
    /** A client's certificate names the user that it is. */
    clientCertAuth: values.clientCertAuth,
    shards: values.shards,
    foundingStorageNodes: values.foundingStorageNodes,
    /** For the log, once there is one. */
    warnings,
  };
}

/** As etcd reads it: 0 is the usual, less is none. */
function quotaOf(bytes: number): number {
  return bytes === 0 ? QUOTA_BYTES : bytes < 0 ? Infinity : bytes;
}

function tokensOf({ values, sources }: Read): TokenOptions {
  try {
    return readTokenOptions(values.authToken);
  } catch (error) {
    throw new UsageError(`${sources.authToken ?? '--auth-token'}: ${(error as Error).message}`);
  }
}

function retentionOf({ values, sources }: Read): Retention | undefined {
  const { autoCompactionMode, autoCompactionRetention } = values;
  try {
    return readRetention(autoCompactionMode, autoCompactionRetention);
  } catch (error) {
    const name = sources.autoCompactionRetention ?? '--auto-compaction-retention';
    throw new UsageError(`${name} ${JSON.stringify(autoCompactionRetention)}: ${(error as Error).message}`);
  }
}

function logLimitsOf({ values }: Read): LogLimits {
  return { ...DEFAULT_LOG_LIMITS, tailInstances: values.snapshotCount, segmentBytes: values.logSegmentBytes };
}

function timesOf({ values, sources }: Read): ReplicationTimes {
  const { heartbeatInterval, electionTimeout } = values;
  if (electionTimeout < HEARTBEATS_PER_ELECTION * heartbeatInterval) {
    const name = sources.electionTimeout ?? sources.heartbeatInterval ?? '--election-timeout';
    throw new UsageError(
      `${name}: an election time-out of ${electionTimeout} ms is less than ${HEARTBEATS_PER_ELECTION} heartbeat intervals of ${heartbeatInterval} ms`,
    );
  }
  const heartbeatUs = heartbeatInterval * 1_000;
  return {
    ...DEFAULT_TIMES,
    heartbeatUs,
    electionTimeoutUs: electionTimeout * 1_000,
    // A replica looks at the time at least twice within a heartbeat.
    tickUs: Math.min(DEFAULT_TIMES.tickUs, heartbeatUs / 2),
  };
}

function readClients(read: Read, warnings: string[]): Served {
  const { values, sources } = read;
  const tls = tlsOf(read, {
    cert: 'certFile',
    key: 'keyFile',
    ca: 'trustedCaFile',
    certAuth: 'clientCertAuth',
  });
  const flag = sources.listen ?? '--listen';
  const { listeners } = listened(read, values.listen, { flag, certFlag: '--cert-file', tls }, warnings);
  const advertised = values.advertise ?? values.listen;
  const vague = advertised.find(({ address }) => isWildcard(address));
  if (vague !== undefined) {
    throw new UsageError(
      `${sources.advertise ?? flag} ${formatUrl(vague)} can be listened on but not dialled: name what clients dial in --advertise or --advertise-client-urls`,
    );
  }
  return { listeners, tls, advertised: spoken(advertised, listeners) };
}

function readPeers(read: Read, warnings: string[]): { peers: Served; founders: Founder[] } {
  const { values, sources } = read;
  const { nodeId, peerListen } = values;
  const tls = tlsOf(read, {
    cert: 'peerCertFile',
    key: 'peerKeyFile',
    ca: 'peerTrustedCaFile',
    certAuth: 'peerClientCertAuth',
  });
  const flag = sources.peerListen ?? '--peer-listen';
  const { listeners } = listened(read, peerListen, { flag, certFlag: '--peer-cert-file', tls }, warnings);
  const told = values.peerAdvertise?.[0];
  if ((values.peerAdvertise?.length ?? 0) > 1) {
    throw new UsageError(
      `${sources.peerAdvertise ?? ''}: a member has one peer address; name the one that members dial`,
    );
  }
  const own = told ?? peerListen[0];
  const founders = values.initialCluster ?? [{ nodeId, address: '', scheme: undefined, ...own }];
  const listed = founders.find((founder) => founder.nodeId === nodeId);
  if (listed === undefined) {
    throw new UsageError(`${sources.initialCluster ?? '--initial-cluster'} does not name this node, ${nodeId}`);
  }
  // Members are dialled as the list says; a list of addresses alone says nothing, so then as this one is served.
  const scheme = listed.scheme ?? (listeners.some((each) => each.tls) ? 'https' : 'http');
  if (!listeners.some((each) => each.tls === (scheme === 'https'))) {
    throw new UsageError(
      `${sources.initialCluster ?? flag} has this node at ${scheme}://${listed.address}, but ${flag} serves no ${scheme}`,
    );
  }
  if (told?.scheme !== undefined && told.scheme !== scheme) {
    throw new UsageError(`${sources.peerAdvertise ?? ''} ${formatUrl(told)}: members dial this node with ${scheme}`);
  }
  const { address } = told ?? listed;
  return {
    peers: { listeners, tls, advertised: [{ scheme, address }] },
    founders: founders.map((founder) => ({
      nodeId: founder.nodeId,
      address: founder === listed ? address : founder.address,
    })),
  };
}

/** Loopback, unless it is told otherwise: where clients are served says nothing about who may see the metrics. */
function readHttp(read: Read, clients: Served, warnings: string[]): readonly Listener[] {
  const { values, sources } = read;
  if (values.httpListen === undefined) {
    return [{ address: besides(clients.listeners[0]?.address ?? '127.0.0.1:0'), tls: false }];
  }
  const flag = sources.httpListen ?? '--http-listen';
  // Plain unless https is asked for: probes rarely bring certificates.
  return values.httpListen.flatMap((endpoint) => {
    const tls = endpoint.scheme === 'https' ? clients.tls : undefined;
    return listened(read, [endpoint], { flag, certFlag: '--cert-file', tls }, warnings).listeners;
  });
}

function listened(
  { values }: Read,
  endpoints: readonly Endpoint[],
  { flag, certFlag, tls }: { flag: string; certFlag: string; tls: TlsFiles | undefined },
  warnings: string[],
): { readonly listeners: readonly Listener[] } {
  const { insecureListen } = values;
  const found = listenersOf(endpoints, { flag, certFlag, hasCertificate: tls !== undefined, insecureListen });
  warnings.push(...found.warnings);
  return found;
}

type FileSettingName = 'certFile' | 'keyFile' | 'trustedCaFile' | 'peerCertFile' | 'peerKeyFile' | 'peerTrustedCaFile';

/** The certificate of one port, if it has one: certificate and key come together, and a check of others needs an authority. */
function tlsOf(
  { values, sources }: Read,
  names: {
    cert: FileSettingName;
    key: FileSettingName;
    ca: FileSettingName;
    certAuth: 'clientCertAuth' | 'peerClientCertAuth';
  },
): TlsFiles | undefined {
  const file = (name: FileSettingName): NamedFile | undefined => {
    const path = values[name];
    return path === undefined ? undefined : { path, name: sources[name] ?? name };
  };
  const [cert, key, ca] = [file(names.cert), file(names.key), file(names.ca)];
  const alone = cert === undefined ? key : key === undefined ? cert : undefined;
  if (alone !== undefined)
    throw new UsageError(`${alone.name} ${alone.path}: a certificate and its key are given together`);
  if (values[names.certAuth] && ca === undefined) {
    throw new UsageError(
      `${sources[names.certAuth] ?? names.certAuth}: certificates are checked against an authority; name its file`,
    );
  }
  if (cert === undefined || key === undefined) {
    if (ca !== undefined) throw new UsageError(`${ca.name} ${ca.path} is of no use without a certificate and its key`);
    return undefined;
  }
  return { identity: { cert, key }, ...(ca === undefined ? {} : { ca }) };
}

/** Endpoints with the scheme that is spoken there. */
function spoken(endpoints: readonly Endpoint[], listeners: readonly Listener[]): Endpoint[] {
  const tls = listeners.some((each) => each.tls);
  return endpoints.map(({ scheme, address }) => ({ scheme: scheme ?? (tls ? 'https' : 'http'), address }));
}

function besides(listen: string): string {
  const { port } = parseAddress(listen);
  const beside = port + HTTP_PORT_OFFSET;
  const above = beside <= PORT_MAX ? beside : port - HTTP_PORT_OFFSET;
  return formatAddress({ host: '127.0.0.1', port: port === 0 ? 0 : above });
}
