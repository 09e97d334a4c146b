import { isShardCount } from '@synod/consistent-hashing';
import { PLANNER_DEFAULTS } from '@synod/coordination';
import { formatAddress, parseAddress } from '@synod/rpc';
import {
  addressSetting,
  assertListenable,
  commonSettings,
  countSetting,
  loadConfig,
  UsageError,
  type ConfigSources,
} from '@synod/service-kit';
import { z } from 'zod';
import type { Retention } from './auto-compaction';
import type { Founder } from './founding';
import { AUDIT_PERIOD_US } from './replica-audit';

/** HTTP is this many ports above the clients' port, unless it is told a place of its own. */
const HTTP_PORT_OFFSET = 1_000;
const MEMBERS_MAX = 7;

const initialCluster = z
  .string({ error: 'members are wanted, id=host:port,id=host:port,…' })
  .transform((text, context): Founder[] => {
    const members = text.split(',').map((part) => readMember(part.trim()));
    const ids = members.map((member) => member?.nodeId);
    const wrong =
      members.includes(undefined) || new Set(ids).size < ids.length
        ? 'members are wanted, each once, id=host:port,id=host:port,…'
        : members.length > MEMBERS_MAX || members.length % 2 === 0
          ? `1, 3, 5 or ${MEMBERS_MAX} members are wanted: an even number survives no more failures than one less`
          : undefined;
    if (wrong === undefined) return members.filter((member) => member !== undefined);
    context.addIssue({ code: 'custom', message: wrong });
    return z.NEVER;
  })
  .optional()
  .describe('all members with their peer addresses, id=host:port,…; this node alone if absent');

const settings = {
  ...commonSettings('127.0.0.1:2379'),
  initialCluster,
  peerListen: addressSetting('where the other members are served').default('127.0.0.1:2380'),
  peerAdvertise: addressSetting('what members are told of it; its address in --initial-cluster if absent').optional(),
  shards: countSetting('shards of the store, a power of two; fixed once the cluster is founded', {
    min: 1,
    // They are all placed in one transaction.
    max: 2_048,
    default: 64,
  }),
  quotaBackendBytes: z
    .union(
      [
        z.number().int(),
        z
          .string()
          .regex(/^-?\d+$/)
          .transform(Number),
      ],
      { error: 'a number of bytes is wanted' },
    )
    .default(0)
    // As etcd reads it.
    .transform((bytes) => (bytes === 0 ? QUOTA_BYTES : bytes < 0 ? Infinity : bytes))
    .describe('bytes of data in the store above which puts are refused; 0 for 2 GiB, negative for no quota'),
  diskReserveBytes: countSetting('bytes to keep free on the file system of --data-dir: below, puts are refused', {
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    // Some log, the store's pages of a large compaction, and a margin for whatever else is on the disk.
    default: 256 * 2 ** 20,
  }),
  autoCompactionMode: z
    .enum(['periodic', 'revision'], { error: 'one of periodic, revision' })
    .default('periodic')
    .describe('what --auto-compaction-retention counts: time, or revisions'),
  autoCompactionRetention: z
    .string({ error: 'a number or a time such as 1h30m is wanted' })
    .default('0')
    .describe('history to keep, older is compacted: hours, a time such as 1h30m, or revisions; 0 for all of it'),
  stateCheckSeconds: countSetting("seconds from one comparison of the members' states to the next", {
    min: 1,
    max: 7 * 24 * 3_600,
    default: AUDIT_PERIOD_US / 1_000_000,
  }),
  foundingStorageNodes: countSetting('storage nodes to wait for before the shards are placed', {
    min: 1,
    max: 1_000,
    default: PLANNER_DEFAULTS.foundingNodes,
  }),
};

/** etcd's default. */
const QUOTA_BYTES = 2 * 2 ** 30;
/** Go's way to write a time, as etcd takes it: 1h30m, 10s; or a number alone. */
const DURATION = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/;

export type ConsensusConfig = ReturnType<typeof readConfig>;

/**
 * The service's settings, from flags, environment and file.
 * @throws {UsageError} naming the wrong one
 */
export function readConfig(sources: ConfigSources) {
  const config = loadConfig('consensus', 'a member of the coordination service (etcd v3 API)', settings, sources);
  const { nodeId, listen, peerListen, initialCluster: founders = [{ nodeId, address: peerListen }] } = config;
  const httpListen = config.httpListen ?? offset(listen);
  assertListenable(
    { '--listen': listen, '--peer-listen': peerListen, '--http-listen': httpListen },
    config.insecureListen,
  );
  const own = founders.find((founder) => founder.nodeId === nodeId);
  if (own === undefined) throw new UsageError(`--initial-cluster does not name this node, ${nodeId}`);
  if (!isShardCount(config.shards)) throw new UsageError(`--shards ${config.shards}: a power of two is wanted`);
  const peerAdvertise = config.peerAdvertise ?? own.address;
  return {
    ...config,
    httpListen,
    advertise: config.advertise ?? listen,
    retention: readRetention(config),
    founders: founders.map((founder) => (founder === own ? { nodeId, address: peerAdvertise } : founder)),
  };
}

/** As etcd reads the two flags. */
function readRetention({
  autoCompactionMode: mode,
  autoCompactionRetention: text,
}: {
  readonly autoCompactionMode: Retention['mode'];
  readonly autoCompactionRetention: string;
}): Retention | undefined {
  if (text === '0') return undefined;
  if (mode === 'revision' && /^\d+$/.test(text)) return { mode, revisions: BigInt(text) };
  const [, hours, minutes, seconds] = DURATION.exec(/^\d+$/.test(text) ? `${text}h` : text) ?? [];
  const total = Number(hours ?? 0) * 3_600 + Number(minutes ?? 0) * 60 + Number(seconds ?? 0);
  if (mode === 'periodic' && total > 0) return { mode, periodUs: total * 1_000_000 };
  const wanted = mode === 'periodic' ? 'hours or a time such as 1h30m' : 'a number of revisions';
  throw new UsageError(`--auto-compaction-retention ${JSON.stringify(text)}: ${wanted} is wanted`);
}

function readMember(text: string): Founder | undefined {
  const [nodeId = '', address = '', ...rest] = text.split('=');
  if (!/^[A-Za-z0-9][A-Za-z0-9.-]{0,62}$/.test(nodeId) || rest.length > 0) return undefined;
  return addressSetting('').safeParse(address).success ? { nodeId, address } : undefined;
}

function offset(listen: string): string {
  const { host, port } = parseAddress(listen);
  return formatAddress({ host, port: port === 0 ? 0 : port + HTTP_PORT_OFFSET });
}
