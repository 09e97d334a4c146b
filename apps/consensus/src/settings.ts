import { PLANNER_DEFAULTS } from '@synod/coordination';
import { DEFAULT_LOG_LIMITS } from '@synod/replication';
import { parseEndpoint, type Endpoint } from '@synod/rpc';
import {
  countSetting,
  dataDirSetting,
  endpointsSetting,
  fileSetting,
  insecureListenSetting,
  LOG_LEVELS,
  NODE_ID,
  nodeIdSetting,
  refusedSetting,
  switchSetting,
  type AliasedSetting,
} from '@synod/service-kit';
import { z } from 'zod';
import type { Founder } from './founding';
import { AUDIT_PERIOD_US } from './replica-audit';

const MEMBERS_MAX = 7;
/** A request is one command of the log and one message between members: a larger one holds up their heartbeats as long as an election takes. */
const REQUEST_BYTES_BOUND = 4 * 1024 * 1024;

/** A founder as it is listed: a scheme says how its peers speak to it. */
export interface ListedFounder extends Founder {
  readonly scheme: 'http' | 'https' | undefined;
}

const initialCluster = z
  .string({ error: 'members are wanted, name=http://host:port,…' })
  .transform((text, context): ListedFounder[] => {
    const members = text.split(',').map((part) => readMember(part.trim()));
    const ids = members.map((member) => member?.nodeId);
    const wrong =
      members.includes(undefined) || new Set(ids).size < ids.length
        ? 'members are wanted, each once, name=host:port,… or name=http(s)://host:port,…'
        : members.length > MEMBERS_MAX
          ? `at most ${MEMBERS_MAX} members are wanted`
          : new Set(members.map((member) => member?.scheme)).size > 1
            ? 'members that speak TLS and members that do not cannot be mixed'
            : undefined;
    if (wrong === undefined) return members.filter((member) => member !== undefined);
    context.addIssue({ code: 'custom', message: wrong });
    return z.NEVER;
  })
  .optional()
  .describe('all members with their peer addresses, name=http://host:port,…; this node alone if absent');

function readMember(text: string): ListedFounder | undefined {
  const at = text.indexOf('=');
  const nodeId = text.slice(0, at);
  if (at < 0 || !NODE_ID.test(nodeId)) return undefined;
  try {
    return { nodeId, ...parseEndpoint(text.slice(at + 1)) };
  } catch {
    return undefined;
  }
}

/** A number of hours, or a duration such as `5m` or `1h30m`, or a number of revisions: which of them is for the mode to say. */
const retention = z
  .union([z.number(), z.string()], { error: 'a number, or a duration such as 1h30m, is wanted' })
  .transform(String)
  .refine((text) => /^(\d+|(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+)$/.test(text), {
    error: 'a number, or a duration such as 1h30m, is wanted',
  })
  .default('0')
  .describe('history to keep: hours or a duration, or revisions; 0 keeps all');

const authToken = z
  .string({ error: 'simple, or jwt with its options, is wanted' })
  .regex(/^(simple|jwt(,[a-z-]+=[^,=]+)+)$/, 'simple, or jwt,sign-method=METHOD,pub-key=FILE,… is wanted')
  .default('simple')
  .describe('tokens of users: simple, or jwt,sign-method=RS256,pub-key=FILE,priv-key=FILE,ttl=5m');

/** etcd knows more levels; what is beyond an error is an error here. */
const logLevel = z
  .enum([...LOG_LEVELS, 'dpanic', 'panic', 'fatal'], { error: `one of ${LOG_LEVELS.join(', ')}` })
  .transform((level) => LOG_LEVELS.find((known) => known === level) ?? 'error')
  .default('info')
  .describe('least severe lines to log');

/** A setting that etcd has too, under that name: its flag and its `ETCD_` variable are taken as our own are. */
function etcd<S extends z.ZodType>(name: string, schema: S): AliasedSetting<S> {
  return { schema, aliases: [{ name, variablePrefix: 'ETCD_' }] };
}

const loopback = (port: number): Endpoint => ({ scheme: undefined, address: `127.0.0.1:${port}` });
const NO_CRL = 'revocation lists are not checked in this release';
const NO_ALLOWED_NAMES = 'names in client certificates are not checked in this release';
const NO_DISCOVERY = 'members are not discovered: list them in --initial-cluster';

/** Everything that can be set, each under our own name and, where etcd has the same, under etcd's. */
export const SETTINGS = {
  nodeId: etcd('name', nodeIdSetting().default('default').describe('name of this node, the same at every start')),
  dataDir: etcd('dataDir', dataDirSetting().optional().describe('folder of this node alone; NAME.etcd if absent')),

  listen: etcd('listenClientUrls', endpointsSetting('where clients are served').default([loopback(2379)])),
  advertise: etcd('advertiseClientUrls', endpointsSetting('what clients dial; --listen if absent').optional()),
  peerListen: etcd('listenPeerUrls', endpointsSetting('where the other members are served').default([loopback(2380)])),
  peerAdvertise: etcd(
    'initialAdvertisePeerUrls',
    endpointsSetting('what members are told of it; its address in --initial-cluster if absent').optional(),
  ),
  httpListen: etcd(
    'listenMetricsUrls',
    endpointsSetting('where /metrics, /health and /version are served; a loopback port if absent').optional(),
  ),
  insecureListen: insecureListenSetting(),

  certFile: etcd('certFile', fileSetting('certificate for clients, PEM')),
  keyFile: etcd('keyFile', fileSetting('its key, PEM')),
  trustedCaFile: etcd('trustedCaFile', fileSetting('authority that certificates of clients must be of, PEM')),
  clientCertAuth: etcd('clientCertAuth', switchSetting('clients must show a certificate of --trusted-ca-file')),
  peerCertFile: etcd('peerCertFile', fileSetting('certificate for and towards the other members, PEM')),
  peerKeyFile: etcd('peerKeyFile', fileSetting('its key, PEM')),
  peerTrustedCaFile: etcd('peerTrustedCaFile', fileSetting('authority that certificates of members must be of, PEM')),
  peerClientCertAuth: etcd('peerClientCertAuth', switchSetting('members must show one of --peer-trusted-ca-file')),

  initialCluster: etcd('initialCluster', initialCluster),
  initialClusterState: etcd(
    'initialClusterState',
    z
      .enum(['new', 'existing'], { error: 'new or existing' })
      .default('new')
      .describe('whether it founds a cluster or joins one'),
  ),
  initialClusterToken: etcd(
    'initialClusterToken',
    z
      .string({ error: 'a word is wanted' })
      .regex(/^[\x21-\x7e]{1,128}$/, 'a word of 1 to 128 characters is wanted')
      .default('etcd-cluster')
      .describe('what founders of the same cluster have in common'),
  ),
  strictReconfigCheck: etcd(
    'strictReconfigCheck',
    switchSetting('refuse member changes that would lose the quorum', { default: true }),
  ),

  heartbeatInterval: etcd(
    'heartbeatInterval',
    countSetting('milliseconds between heartbeats', { min: 10, max: 10_000, default: 100 }),
  ),
  electionTimeout: etcd(
    'electionTimeout',
    countSetting('milliseconds of silence before an election', { min: 50, max: 50_000, default: 1_000 }),
  ),
  leaseReads: switchSetting(
    'the leader answers reads by a lease, without asking the others: rests on --max-clock-drift-ppm',
  ),
  maxClockDriftPpm: countSetting("parts per million by which a member's monotonic clock may run too fast or too slow", {
    min: 0,
    max: 500_000,
    // What time daemons may slew a clock by, and not only what a quartz is wrong by.
    default: 100_000,
  }),
  maxRequestBytes: etcd(
    'maxRequestBytes',
    countSetting('largest request of a client', { min: 1_024, max: REQUEST_BYTES_BOUND, default: 1_536 * 1_024 }),
  ),
  maxTxnOps: etcd('maxTxnOps', countSetting('operations of one transaction', { min: 1, max: 65_536, default: 128 })),

  snapshotCount: etcd(
    'snapshotCount',
    countSetting('log entries kept for members that lag; one further behind is sent a snapshot', {
      min: 1,
      max: 1_000_000_000,
      default: DEFAULT_LOG_LIMITS.tailInstances,
    }),
  ),
  logSegmentBytes: countSetting('bytes of one file of the log; a few of them are kept', {
    min: 1 << 16,
    max: 1 << 30,
    default: DEFAULT_LOG_LIMITS.segmentBytes,
  }),
  quotaBackendBytes: etcd(
    'quotaBackendBytes',
    countSetting('bytes of data in the store above which puts are refused; 0 for 2 GiB, -1 for no quota', {
      min: -1,
      max: 2 ** 50,
      default: 0,
    }),
  ),
  autoCompactionMode: etcd(
    'autoCompactionMode',
    z
      .enum(['periodic', 'revision'], { error: 'periodic or revision' })
      .default('periodic')
      .describe('whether history is kept by time or by revisions'),
  ),
  autoCompactionRetention: etcd('autoCompactionRetention', retention),
  authToken: etcd('authToken', authToken),

  diskReserveBytes: countSetting('bytes to keep free on the file system of --data-dir: below, puts are refused', {
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    // Some log, the store's pages of a large compaction, and a margin for whatever else is on the disk.
    default: 256 * 2 ** 20,
  }),
  stateCheckSeconds: countSetting("seconds from one comparison of the members' states to the next", {
    min: 1,
    max: 7 * 24 * 3_600,
    default: AUDIT_PERIOD_US / 1_000_000,
  }),
  repairFromPeers: switchSetting('a harmed log or store is set aside once the other members have taken this one back', {
    default: true,
  }),
  shards: countSetting('shards of the store, a power of two; fixed once the cluster is founded', {
    min: 1,
    // They are all placed in one transaction.
    max: 2_048,
    default: 64,
  }),
  foundingStorageNodes: countSetting('storage nodes to wait for before the shards are placed', {
    min: 1,
    max: 1_000,
    default: PLANNER_DEFAULTS.foundingNodes,
  }),
  logLevel: etcd('logLevel', logLevel),

  // What would make a cluster less safe, or another one than meant, if it were passed over.
  configFile: etcd('configFile', refusedSetting("etcd's YAML file is not read: give flags, variables, or --config")),
  autoTls: etcd('autoTls', refusedSetting('certificates are not made here: give --cert-file and --key-file')),
  peerAutoTls: etcd('peerAutoTls', refusedSetting('certificates are not made here: give --peer-cert-file and its key')),
  clientCrlFile: etcd('clientCrlFile', refusedSetting(NO_CRL)),
  peerCrlFile: etcd('peerCrlFile', refusedSetting(NO_CRL)),
  clientCertAllowedHostname: etcd('clientCertAllowedHostname', refusedSetting(NO_ALLOWED_NAMES)),
  peerCertAllowedHostname: etcd('peerCertAllowedHostname', refusedSetting(NO_ALLOWED_NAMES)),
  peerCertAllowedCn: etcd('peerCertAllowedCn', refusedSetting(NO_ALLOWED_NAMES)),
  cipherSuites: etcd('cipherSuites', refusedSetting("the suites are Node's own; they cannot be chosen")),
  discovery: etcd('discovery', refusedSetting(NO_DISCOVERY)),
  discoverySrv: etcd('discoverySrv', refusedSetting(NO_DISCOVERY)),
  forceNewCluster: etcd('forceNewCluster', refusedSetting('a cluster is not founded anew over its data')),
};
